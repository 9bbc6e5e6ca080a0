"""The identity of a response, which does not change when the session grows."""

from __future__ import annotations

import hashlib

from memscope.session.text import RecordedResponse

__all__ = ["response_id"]


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
