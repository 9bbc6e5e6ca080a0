"""The measures: divergence matrix, memory importance, fine-tuning candidates."""
