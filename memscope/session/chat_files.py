"""Files of chat messages: one conversation as JSON, or one message a line."""

from __future__ import annotations

from typing import Any

from memscope.errors import SessionError
from memscope.session.chat import read_chat
from memscope.session.detectors import Detector
from memscope.session.json_text import parse_json
from memscope.session.nodes import Session

__all__ = ["read_chat_file"]


def read_chat_file(first: Any, text: bytes, name: str, detector: Detector) -> Session:
    """Read chat messages.

    Args:
        first: The value in the file's first line; None where that is no JSON.
        text: The file, without a byte order mark.
        name: What errors call it.
        detector: How memories are found.

    Raises:
        SessionError: These are not messages; one line says where and what was expected.
    """
    match first:
        case {"messages": _}:
            _one_conversation(text, name)
        case {"role": _}:
            return _message_lines(text, name, detector)
    return _whole(text, name, detector)


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
