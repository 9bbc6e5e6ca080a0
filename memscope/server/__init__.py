"""memscope serve: the embedded scorer."""
