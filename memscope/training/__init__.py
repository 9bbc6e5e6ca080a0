"""Send responses to training, and export them."""
