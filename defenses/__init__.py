"""We change the input back."""
