"""Gemini CLI sessions, and requests to the Gemini API."""
