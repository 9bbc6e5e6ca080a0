"""Files with one conversation per line, such as data sets of chats, and logs of requests with their responses."""

from __future__ import annotations

from functools import partial

import msgspec

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.document import whole_file_format
from memscope.session.formats.selection import Candidate, choose
from memscope.session.json_text import parse_json
from memscope.session.nodes import Session

__all__ = ["FORMAT", "read_conversation_lines"]

_HOLDERS = ("messages", "contents", "input", "inputs", "request")
"""The fields of an object that holds a conversation."""


def read_conversation_lines(data: bytes, name: str, new_detector: NewDetector, *, pick: str | None = None) -> Session:
    """Read one line of a file.

    Args:
        data: The bytes of the file.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.
        pick: Number of the line to read, counted from 1; None for the first with memories and responses.

    Raises:
        SessionError: The line is no conversation, or an invalid one.
        UsageError: There is no line `pick`.
    """
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if not lines:
        raise SessionError(f"{name}: empty, expected one conversation per line")
    candidates = [Candidate(str(number), partial(_read, line, number, name, new_detector)) for number, line in lines]
    return choose(candidates, kind="line", name=name, pick=pick)


def _read(line: bytes, number: int, name: str, new_detector: NewDetector) -> Session:
    """Read one line as a file of its own, so that equal conversations of a file are different sessions."""
    from memscope.session.formats.registry import format_of  # imported when needed: the registry lists this module

    parse_json(line, name, number)  # reports what is not JSON with the number of the line
    place = f"{name}:{number}"
    session = format_of(line, place).read(line, place, new_detector)
    return msgspec.structs.replace(session, source=msgspec.structs.replace(session.source, path=name))


def _recognises(head: FileHead) -> bool:
    return isinstance(head.first, dict) and head.value is None and any(field in head.first for field in _HOLDERS)


def _format(pick: str | None) -> SessionFormat:
    return whole_file_format(
        name="conversation-lines",
        expected="one conversation per line",
        recognises=_recognises,
        read=partial(read_conversation_lines, pick=pick),
        picking=_format,
    )


FORMAT = _format(None)
