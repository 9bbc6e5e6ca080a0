"""Compute log-probabilities and generate tokens: the model, its caches, and the worker thread."""
