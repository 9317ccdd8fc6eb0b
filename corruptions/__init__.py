"""Nature changes the input."""
