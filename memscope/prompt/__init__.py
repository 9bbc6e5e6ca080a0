"""Render sessions as token ids and spans."""
