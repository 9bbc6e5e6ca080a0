"""Numbers that readers and writers of session files share; a recorder imports nothing heavier than this."""

__all__ = ["LINE_LIMIT", "RECORDING_VERSION"]

LINE_LIMIT = 32 * 2**20
"""Maximum length of a line in bytes; longer ones are rejected before they are parsed, and never written."""

RECORDING_VERSION = 1
"""The version of the format of recordings."""
