"""Numbers of things, in words that agree."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return "1 memory" or "2 memories".

    Args:
        count: How many.
        one: What one is called.
        many: What several are called; `one` with an s by default.
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
