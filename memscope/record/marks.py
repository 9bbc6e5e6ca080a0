"""Cut the memory marks out of a request's body, and leave every other byte as it is.

A mark is a field `memory` with a `key`, on a message or on a block of its content. The body is scanned with the
positions of its values, so that nothing has to be written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from memscope.record.encodings import UnreadableError, decoded_body, encoded_body
from memscope.session.apis.parts import marked_key

__all__ = ["without_marks", "without_marks_encoded"]

_ESCAPED_LETTER = re.compile(rb"\\u00[67]")
"""A letter of the name `memory` as no encoder writes it, though it may."""
_SPACE = re.compile(r"[ \t\r\n]*")
_LISTS = ("messages", "input", "system")
"""The fields of a body that hold messages, or, in the case of `system`, blocks."""
_NESTED = ("content", "output")
"""The fields of a message or a block that hold blocks."""
_scan = json.JSONDecoder().raw_decode


class _Member(NamedTuple):
    """A member of an object: positions of its name, of its value and of its end, and the decoded value."""

    name: str
    start: int
    value_start: int
    end: int
    value: Any


def without_marks(body: bytes) -> bytes:
    """Return a body without its marks; the same object if it has none, or is not JSON."""
    if b'"memory"' not in body and _ESCAPED_LETTER.search(body) is None:
        return body
    text = body.decode("utf-8", "surrogateescape")
    try:
        cuts = list(_cuts_in_body(text))
    except (ValueError, RecursionError, IndexError):
        return body
    if not cuts:
        return body
    kept = zip([0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(text)], strict=True)
    return "".join(text[start:end] for start, end in kept).encode("utf-8", "surrogateescape")


def without_marks_encoded(body: bytes, content_encoding: str) -> bytes:
    """Return a body that may be compressed without its marks; the same object if it has none, or cannot be read.

    Args:
        body: The body as it was sent.
        content_encoding: Its `Content-Encoding`; "" if it has none.
    """
    try:
        plain = decoded_body(body, content_encoding)
    except UnreadableError:
        return body
    cut = without_marks(plain)
    return body if cut is plain else encoded_body(cut, content_encoding)


def _cuts_in_body(text: str) -> Iterator[tuple[int, int]]:
    at = _skip(text, 1 if text.startswith("\ufeff") else 0)
    body, end = _scan(text, at)
    if isinstance(body, dict) and _skip(text, end) == len(text):
        for member in _members(text, at):
            if member.name in _LISTS and _holds_mark(member.value):
                yield from _cuts_in_list(text, member.value_start, member.value)


def _cuts_in_list(text: str, at: int, items: list[Any]) -> Iterator[tuple[int, int]]:
    """Yield the slices to cut from the messages or blocks of a list that begins at a position."""
    last = max(number for number, item in enumerate(items) if _is_marked(item))
    for item in items[: last + 1]:
        at = _skip(text, at + 1)  # behind the bracket or the comma
        if _is_marked(item):
            yield from _cuts_in_object(text, at)
        at = _skip(text, _scan(text, at)[1])


def _cuts_in_object(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Yield the slices to cut from a message or a block, in order."""
    members = list(_members(text, at))
    marked = [member.name == "memory" and marked_key({"memory": member.value}) is not None for member in members]
    for number, member in enumerate(members):
        if marked[number]:
            yield _cut(members, marked, number)
        elif member.name in _NESTED and _holds_mark(member.value):
            yield from _cuts_in_list(text, member.value_start, member.value)


def _holds_mark(value: Any) -> bool:
    return isinstance(value, list) and any(map(_is_marked, value))


def _is_marked(value: Any) -> bool:
    """Return whether a message or a block is marked or holds a block that is: only there are positions needed."""
    if not isinstance(value, dict):
        return False
    return marked_key(value) is not None or any(_holds_mark(value.get(name)) for name in _NESTED)


def _cut(members: list[_Member], marked: list[bool], number: int) -> tuple[int, int]:
    """Return the slice of a mark and of the comma that separates it from what stays."""
    if not all(marked[:number]):
        return members[number - 1].end, members[number].end
    if number + 1 < len(members):
        return members[number].start, members[number + 1].start
    return members[number].start, members[number].end


def _members(text: str, at: int) -> Iterator[_Member]:
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, end = _scan(text, at)
        value_start = _skip(text, _skip(text, end) + 1)
        value, value_end = _scan(text, value_start)
        yield _Member(name, at, value_start, value_end, value)
        at = _skip(text, value_end)
        at = _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
