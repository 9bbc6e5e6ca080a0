"""The servers that compute log-probabilities, one dialect a module, behind one interface."""
