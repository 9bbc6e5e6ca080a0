"""Opening a session file of any format memscope knows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from memscope.errors import SessionError
from memscope.session.chat import read_chat
from memscope.session.detectors import Detector
from memscope.session.native import read_native
from memscope.session.nodes import Branch, Session

__all__ = ["FILE_LIMIT", "load_session", "problems"]

_BOM = b"\xef\xbb\xbf"

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
        UsageError: A rule has no such name.
    """
    name = str(path)
    detector = Detector(rules, pattern)
    data = _bytes(Path(path), name)
    first = _decoded(data.split(b"\n", 1)[0].removeprefix(_BOM))
    if isinstance(first, dict) and "role" in first and "type" not in first:
        return read_chat(_message_lines(data, name), name, detector, lines=True)
    if isinstance(first, dict) and "messages" not in first:
        return read_native(data, name)
    return _whole(data, name, detector, native=first is None and data.lstrip(_BOM)[:1] == b"{")


def _whole(data: bytes, name: str, detector: Detector, *, native: bool) -> Session:
    text = data.removeprefix(_BOM)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        if native and b"\n" in text.strip():
            return read_native(data, name)
        raise SessionError(f"{name}: neither JSON nor JSON Lines: {error}") from error
    if isinstance(value, list):
        return read_chat(value, name, detector)
    if isinstance(value, dict) and isinstance(messages := value.get("messages"), list):
        title = value.get("title")
        return read_chat(
            messages, name, detector, tools=value.get("tools"), title=title if isinstance(title, str) else ""
        )
    raise SessionError(
        f"{name}: is JSON but not a session: expected a header line of type session, "
        'an object with "messages", a list of messages, or one message a line'
    )


def _message_lines(data: bytes, name: str) -> list[Any]:
    messages = []
    for number, line in enumerate(data.removeprefix(_BOM).splitlines(), 1):
        if line.strip():
            try:
                messages.append(msgspec.json.decode(line))
            except (msgspec.DecodeError, RecursionError) as error:
                raise SessionError(f"{name}:{number}: not JSON: {error}") from error
    return messages


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None


def _bytes(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise SessionError(f"{name}: is a directory, expected a session file")
        size = path.stat().st_size
        if size > FILE_LIMIT:
            raise SessionError(f"{name}: {size / 2**20:.0f} MiB are too large, the limit is {FILE_LIMIT // 2**20} MiB")
        data = path.read_bytes()
    except FileNotFoundError:
        raise SessionError(f"{name}: no such file") from None
    except OSError as error:
        raise SessionError(f"{name}: cannot be read: {error.strerror}") from error
    if not data.strip():
        raise SessionError(f"{name}: is empty, expected a session file")
    if b"\0" in data[:4096]:
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
