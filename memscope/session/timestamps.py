"""Timestamps in session files."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

__all__ = ["as_timestamp", "is_timestamp"]

_TIMESTAMP = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)


def is_timestamp(text: str) -> bool:
    """Return whether a text is an RFC 3339 timestamp."""
    if _TIMESTAMP.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


def as_timestamp(value: Any) -> str | None:
    """Return a value if it is an RFC 3339 timestamp, else None: files of other programs may have anything there."""
    return value if isinstance(value, str) and is_timestamp(value) else None
