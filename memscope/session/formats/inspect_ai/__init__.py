"""Logs of inspect_ai evaluations."""
