"""Opening a session file of any format memscope knows."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.chat import read_chat
from memscope.session.detectors import Detector
from memscope.session.json_text import parse_json
from memscope.session.native import NODE_TYPES, read_native
from memscope.session.nodes import Branch, Session

__all__ = ["FILE_LIMIT", "load_session", "problems"]

_BOM = b"\xef\xbb\xbf"
_SNIFFED = 4096
_BROKEN_NATIVE = re.compile(rb'\{[ \t]*"type"')
"""A first line that is not JSON but begins like a native one: its error is told as one of a native file."""

FILE_LIMIT = 512 * 2**20
"""Bytes a session file may have."""


def load_session(path: str | Path, *, rules: Collection[str] | None = None, pattern: str | None = None) -> Session:
    """Read a session file; its content decides the format.

    Args:
        path: The file.
        rules: Names of the memory rules to use on chat messages; None is all.
        pattern: The user's own memory pattern, see `memscope.session.detectors`.

    Raises:
        SessionError: The file is not a session; one line says where and what was expected.
        UsageError: A rule has no such name, or the pattern cannot be used.
    """
    name = str(path)
    detector = Detector(rules, pattern)
    data = _bytes(Path(path), name)
    text = data.removeprefix(_BOM)
    match _first_line(text):
        case {"type": "session"}:
            return read_native(data, name)
        case {"role": _, **rest} if rest.get("type") not in NODE_TYPES:
            return _message_lines(text, name, detector)
        case {"messages": _}:
            _one_conversation(text, name)
            return _whole(text, name, detector)
        case dict():
            return read_native(data, name)
        case None if _BROKEN_NATIVE.match(text):
            return read_native(data, name)
        case _:
            return _whole(text, name, detector)


def _first_line(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text.split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _one_conversation(text: bytes, name: str) -> None:
    end = text.find(b"\n")
    if end >= 0 and text[end:].strip():
        raise SessionError(f"{name}:2: expected one conversation a file, got another line after the first one")


def _whole(text: bytes, name: str, detector: Detector) -> Session:
    match parse_json(text, name):
        case list(messages):
            return read_chat(messages, name, detector)
        case {"messages": list(messages), **given}:
            title, model = (value if isinstance(value := given.get(k), str) else "" for k in ("title", "model"))
            return read_chat(messages, name, detector, tools=given.get("tools"), title=title, model=model)
    raise SessionError(
        f"{name}: is JSON but not a session: expected a header line of type session, "
        'an object with "messages", a list of messages, or one message a line'
    )


def _message_lines(text: bytes, name: str, detector: Detector) -> Session:
    lines = {number: line for number, line in enumerate(text.split(b"\n"), 1) if line.strip()}
    messages = [parse_json(line, name, number) for number, line in lines.items()]
    return read_chat(messages, name, detector, lines=tuple(lines))


def _bytes(path: Path, name: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SessionError(f"{name}: is a directory, expected a session file")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise SessionError(f"{name}: is a device or a socket, expected a session file")
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except FileNotFoundError:
        raise SessionError(f"{name}: no such file") from None
    except OSError as error:
        raise SessionError(f"{name}: cannot be read: {error.strerror}") from error
    except ValueError:
        raise SessionError(f"{name!r}: is not a file name") from None
    if len(data) > FILE_LIMIT:
        raise SessionError(f"{name}: is too large, the limit is {FILE_LIMIT // 2**20} MiB")
    if not data.removeprefix(_BOM).strip():
        raise SessionError(f"{name}: is empty, expected a session file")
    if b"\0" in data[:_SNIFFED]:
        raise SessionError(f"{name}: is binary, expected a session file in JSON Lines or JSON")
    return data


def problems(session: Session) -> tuple[str, ...]:
    """Say, one line each, what keeps a session from being measured."""
    found = []
    if not session.memory_keys():
        found.append("no memories in it: nothing to leave out")
    if not any(isinstance(n, Branch) and n.role == "assistant" for n in session.section("conversation")):
        found.append("no responses in it: no assistant turn in the conversation")
    return tuple(found)
