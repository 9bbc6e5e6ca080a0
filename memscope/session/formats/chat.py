"""One conversation as one JSON document: a list of chat messages, or an object with `messages` and, maybe, `tools`."""

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
    """Keeps the bytes of a document until it is whole."""

    def __init__(self, name: str, new_detector: NewDetector) -> None:
        """Begin before the first byte of the file with this name."""
        self._name = name
        self._new_detector = new_detector
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._data += data

    def finish(self) -> None:
        """See `SessionReader.finish`: whether the document is whole shows when it is decoded."""

    def session(self) -> Session:
        """See `SessionReader.session`."""
        data = bytes(self._data)
        _check_alone(data, self._name)
        return read_chat(parse_json(data, self._name), self._name, self._new_detector())


def read_chat(document: Any, name: str, detector: Detector) -> Session:
    """Turn a decoded document into a session.

    Args:
        document: A list of messages, or an object with `messages`, `tools`, `title` and `model`.
        name: The file as the user named it.
        detector: The rules in use.

    Raises:
        SessionError: Something in it is not as expected; the line says which message and which field.
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
    """See that a document that ends with its first line has nothing behind it."""
    match FileHead(data).first:
        case {"messages": _}:
            if data.partition(b"\n")[2].strip():
                raise SessionError(f"{name}:2: expected one conversation a file, got another line after the first one")


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
