"""Which filters matter, how they leave and how they return."""
