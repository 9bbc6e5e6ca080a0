"""Limits that readers and writers of session files share; a recorder imports nothing heavier than this."""

from __future__ import annotations

from typing import Any

__all__ = ["ARGUMENTS_DEPTH", "DEPTH_LIMIT", "LINE_LIMIT", "RECORDING_VERSION", "nests_deeper"]

LINE_LIMIT = 32 * 2**20
"""Maximum length of a line in bytes; longer ones are rejected before they are parsed, and never written."""

RECORDING_VERSION = 1
"""The version of the format of recordings."""

DEPTH_LIMIT = 100
"""Maximum nesting of lists and objects in a JSON value: chat templates and writers descend recursively."""

ARGUMENTS_DEPTH = 80
"""Maximum nesting of a tool call's arguments that are given as text; they are decoded inside a message."""


def nests_deeper(value: Any, limit: int) -> bool:
    """Return whether a JSON value has more than `limit` lists and objects inside each other; it does not recurse."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        inner = (part for outer in level for part in (outer.values() if isinstance(outer, dict) else outer))
        level = [part for part in inner if isinstance(part, dict | list)]
        if not level:
            return False
    return bool(level)
