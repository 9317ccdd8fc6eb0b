"""The command line: what ``main.py`` starts."""
