"""Sending responses to training, and exporting them."""
