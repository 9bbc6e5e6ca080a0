"""The identity of a response, which does not change when the session grows."""

from __future__ import annotations

import hashlib

__all__ = ["response_id"]


def response_id(session: str, entry_index: int, timestamp: str | None, text: str) -> str:
    """Return the id of a response, derived from its session, position, timestamp and text.

    Args:
        session: The id of the session.
        entry_index: The response's position among the conversation's nodes, which appending does not change.
        timestamp: The RFC 3339 timestamp from the session file, or None.
        text: The text of the response.

    Returns:
        24 hexadecimal digits.
    """
    parts = f"{session}\0{entry_index}\0{timestamp or ''}\0{text}"
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
