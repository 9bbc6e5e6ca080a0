"""What makes a response the same response, however much the session grows around it."""

from __future__ import annotations

import hashlib

__all__ = ["response_id"]


def response_id(session: str, entry_index: int, timestamp: str | None, text: str) -> str:
    """Return a response's identity: the same as long as the session says the same at that place.

    Args:
        session: The session's id.
        entry_index: The response's position among the conversation's nodes, which appending does not change.
        timestamp: RFC 3339 text of the session file, or None.
        text: What the response says.

    Returns:
        24 hexadecimal digits.
    """
    parts = f"{session}\0{entry_index}\0{timestamp or ''}\0{text}"
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
