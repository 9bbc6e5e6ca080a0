"""Clients for the servers that compute log-probabilities, behind one interface; one module per dialect."""
