"""What may reach a terminal: safe text, printing, and the word diff."""
