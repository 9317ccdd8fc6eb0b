"""What the report is made with: its page, its own sections, pictures, history, environment and files."""
