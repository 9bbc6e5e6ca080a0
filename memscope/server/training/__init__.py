"""Training jobs of `memscope serve`."""
