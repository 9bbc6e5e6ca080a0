"""The HTTP endpoints of `memscope serve`."""
