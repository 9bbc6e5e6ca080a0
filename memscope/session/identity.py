"""The identity of a session and of its responses, which does not change when the session grows."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import msgspec

from memscope.session.text import RecordedResponse

__all__ = ["file_session_id", "response_id"]


def file_session_id(prefix: str, name: str, begins: Any) -> str:
    """Return the id of a session whose file has none that is unique.

    Many conversations begin alike ("Hi"), and a copied file keeps its ids: without the path, a response approved in one
    would count in the others.

    Args:
        prefix: What the id begins with.
        name: The file name; "" for a session created in memory.
        begins: JSON value of the beginning, which appending does not change.
    """
    place = os.path.realpath(name) if name else ""
    digest = hashlib.blake2b(msgspec.json.encode([place, begins]), digest_size=8).hexdigest()
    return f"{prefix}-{digest}"


def response_id(session: str, response: RecordedResponse) -> str:
    """Return the id of a response.

    It is derived from the id of the session, the text, and what appending does not change: the call that produced it,
    or in an append-only session its position among the conversation's nodes and its timestamp.

    Args:
        session: The id of the session.
        response: The response.

    Returns:
        24 hexadecimal digits.
    """
    call = response.call
    place = f"{response.entry_index}\0{response.timestamp or ''}" if call is None else f"call\0{call.id}"
    return hashlib.blake2b(
        f"{session}\0{place}\0{response.text}".encode("utf-8", "surrogatepass"), digest_size=12
    ).hexdigest()
