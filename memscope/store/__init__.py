"""The state that memscope keeps between runs, in one SQLite database."""
