"""The panes around fine-tuning candidates: the list, the diff, and the review of a send."""
