"""An adversary changes the input."""
