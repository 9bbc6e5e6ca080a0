"""The live demo: an agent at work, recorded and scored while it talks."""
