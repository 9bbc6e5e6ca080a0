"""Safe text for terminals, printing, and the word diff."""
