"""A conversation as one JSON document: a list of chat messages, or an object with `messages` and optional `tools`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from memscope.session.detectors import Detector
from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.document import document_format
from memscope.session.formats.fields import checked_messages, field_error
from memscope.session.formats.messages import MessageConverter
from memscope.session.nodes import Session
from memscope.terminal.counts import counted

__all__ = ["FORMAT", "read_chat"]


_READ = ("messages", "tools", "title", "model")
_LEAST_PROSE = 12
"""A field with less text than this is taken to be a name or a label."""

_DEEPEST_PROSE = 8


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
    messages, tools = checked_messages(given.get("messages"), name), given.get("tools") or []
    if not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise field_error(name, "tools", "a list of objects", tools)
    converter = MessageConverter(name, FORMAT.name, detector)
    for field, count in _unread(given):
        converter.note(f"the field {field!r} of the document is not read: {counted(count, 'character')} of text")
    for number, message in enumerate(messages):
        converter.take(message, f"{name}: message {number}")
    title, model = (value if isinstance(value := given.get(field), str) else "" for field in ("title", "model"))
    return converter.session(title=title, model=model, tools=tools)


def _unread(document: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the fields that are not read and look like content, and how much text they have."""
    for field, value in document.items():
        if field not in _READ and (count := _prose(value)) >= _LEAST_PROSE:
            yield field, count


def _prose(value: Any, depth: int = 0) -> int:
    """Return how many characters of running text a value has: words with spaces between them."""
    if isinstance(value, str):
        return len(value) if " " in value.strip() else 0
    if not isinstance(value, dict | list) or depth > _DEEPEST_PROSE:
        return 0
    return sum(_prose(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))


def _read(document: Any, name: str, new_detector: NewDetector) -> Session:
    return read_chat(document, name, new_detector())


def _recognises(head: FileHead) -> bool:
    match head.value:
        case list() | {"messages": _}:
            return True
    return False


FORMAT = document_format(
    name="chat",
    expected='an object with "messages" or a list of messages',
    recognises=_recognises,
    read=_read,
)
