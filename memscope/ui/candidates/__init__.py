"""The panes for fine-tuning candidates: the list, the diff, and the review before sending."""
