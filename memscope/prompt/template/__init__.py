"""Render sessions with the model's own chat template, and locate each text in the result."""
