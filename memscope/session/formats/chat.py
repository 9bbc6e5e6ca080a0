"""A conversation as one JSON document: a list of chat messages, or an object with `messages` and optional `tools`."""

from __future__ import annotations

from typing import Any

from memscope.errors import SessionError
from memscope.session.detectors import Detector
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.fields import field_error
from memscope.session.formats.messages import MessageConverter
from memscope.session.json_text import parse_json
from memscope.session.nodes import Session

__all__ = ["FORMAT", "ChatReader", "read_chat"]


class ChatReader:
    """Buffers the bytes of a document until it is complete."""

    def __init__(self, name: str, new_detector: NewDetector) -> None:
        """Create a reader for the file with this name."""
        self._name = name
        self._new_detector = new_detector
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._data += data

    def finish(self) -> None:
        """See `SessionReader.finish`; an incomplete document is detected when it is decoded."""

    def session(self) -> Session:
        """See `SessionReader.session`."""
        data = bytes(self._data)
        _check_alone(data, self._name)
        return read_chat(parse_json(data, self._name), self._name, self._new_detector())


def read_chat(document: Any, name: str, detector: Detector) -> Session:
    """Convert a decoded document to a session.

    Args:
        document: A list of messages, or an object with `messages`, `tools`, `title` and `model`.
        name: The file name, for error messages.
        detector: The memory detector.

    Raises:
        SessionError: The document is invalid; the message names the chat message and the field.
    """
    given = {"messages": document} if isinstance(document, list) else document
    messages, tools = given.get("messages"), given.get("tools") or []
    if not isinstance(messages, list):
        raise field_error(name, "messages", "a list of messages", messages)
    if not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise field_error(name, "tools", "a list of objects", tools)
    converter = MessageConverter(name, FORMAT.name, detector)
    for number, message in enumerate(messages):
        converter.take(message, f"{name}: message {number}")
    title, model = (value if isinstance(value := given.get(field), str) else "" for field in ("title", "model"))
    return converter.session(title=title, model=model, tools=tools)


def _check_alone(data: bytes, name: str) -> None:
    """Check that nothing follows a document that ends on its first line."""
    match FileHead(data).first:
        case {"messages": _}:
            if data.partition(b"\n")[2].strip():
                raise SessionError(f"{name}:2: expected one conversation per file, got a second line")


def _recognises(head: FileHead) -> bool:
    match head.value:
        case list() | {"messages": _}:
            return True
    return False


FORMAT = SessionFormat(
    name="chat",
    expected='an object with "messages" or a list of messages',
    appends=False,
    recognises=_recognises,
    reader=ChatReader,
)
