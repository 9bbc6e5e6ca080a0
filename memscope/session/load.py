"""Opening a session file of any format memscope knows."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from memscope.errors import SessionError
from memscope.session.native import NODE_TYPES, read_native
from memscope.session.nodes import Session
from memscope.session.text import responses

if TYPE_CHECKING:
    from memscope.session.detectors import Detector

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
    # Native sessions do without all that reads chat messages: the first paint waits for this.
    detector = _detector(rules, pattern) if rules is not None or pattern else None
    data = _bytes(Path(path), name)
    text = data.removeprefix(_BOM)
    first = _first_line(text)
    if _is_native(first, text):
        return read_native(data, name)
    from memscope.session.chat_files import read_chat_file

    return read_chat_file(first, text, name, detector or _detector(rules, pattern))


def _detector(rules: Collection[str] | None, pattern: str | None) -> Detector:
    from memscope.session.detectors import Detector

    return Detector(rules, pattern)


def _is_native(first: Any, text: bytes) -> bool:
    match first:
        case {"type": "session"}:
            return True
        case {"role": _, **rest} if rest.get("type") not in NODE_TYPES:
            return False
        case dict():
            return "messages" not in first
    return first is None and _BROKEN_NATIVE.match(text) is not None


def _first_line(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text.split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


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
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise SessionError(f"{name}: is UTF-16, expected UTF-8: save it as that")
    if b"\0" in data[:_SNIFFED]:
        raise SessionError(f"{name}: is binary, expected a session file in JSON Lines or JSON")
    return data


def problems(session: Session) -> tuple[str, ...]:
    """Say, one line each, what keeps a session from being measured."""
    found = []
    if not session.memory_keys():
        found.append("no memories in it: nothing to leave out")
    if next(responses(session), None) is None:
        found.append("no responses in it: no assistant turn in the conversation says anything")
    return tuple(found)
