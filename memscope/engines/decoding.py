"""Decode server responses, turning every failure into a ScorerError.

Besides syntax errors, invalid UTF-8, deep nesting and out-of-range numbers raise exceptions of other types, which are
all handled here.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from memscope.errors import ScorerError

__all__ = ["UnreadableAnswerError", "decode_json", "error_text", "token_ids"]

T = TypeVar("T")

_FAILURES = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError, ValueError)
_SHOWN_BYTES = 80
_ERROR_TEXT_LENGTH = 300
_ID_LIMIT = 2**32


class UnreadableAnswerError(ScorerError):
    """A server's response is not in the expected format."""


def decode_json(body: bytes, kind: type[T], expected: str) -> T:
    """Decode the JSON body of a response.

    Args:
        body: The received bytes.
        kind: The expected type; `Any` accepts every type.
        expected: What was expected from where, for the error: "http://host/v1/models: a model list".

    Raises:
        UnreadableAnswerError: It is not JSON, or has another type.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except _FAILURES as error:
        shown = bytes(body[:_SHOWN_BYTES])
        raise UnreadableAnswerError(f"{expected} was expected, but the response is {shown!r} ({error})") from error


def token_ids(values: Sequence[int], place: str) -> array[int]:
    """Return token ids as unsigned 32-bit integers.

    Raises:
        UnreadableAnswerError: A value is not a valid token id.
    """
    if wrong := [value for value in values if not 0 <= value < _ID_LIMIT]:
        raise UnreadableAnswerError(f"{place}: {wrong[0]} is not a token id")
    return array("I", values)


def error_text(body: bytes, status: int) -> str:
    """Return the server's error message, from any of the common formats of error bodies, on one line."""
    try:
        value: Any = msgspec.json.decode(body)
    except _FAILURES:
        value = body.decode("utf-8", "replace")
    for name in ("error", "detail", "message"):
        while isinstance(value, dict) and name in value:
            value = value[name]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8", "replace")
    return " ".join(text.split())[:_ERROR_TEXT_LENGTH] or httpx.codes.get_reason_phrase(status)
