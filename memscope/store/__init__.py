"""What memscope remembers between runs, in one SQLite database."""
