"""From ids to log-probabilities and tokens: the model, its caches, and the thread that computes."""
