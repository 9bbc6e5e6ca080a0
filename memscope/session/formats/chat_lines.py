"""A conversation as append-only JSON Lines: one chat message per line."""

from __future__ import annotations

from memscope.session.formats.base import FileHead, NewDetector
from memscope.session.formats.line_messages import lines_format
from memscope.session.formats.messages import MessageConverter

__all__ = ["FORMAT"]


def _recognises(head: FileHead) -> bool:
    match head.first:
        case {"role": _}:
            return True
    return False


def _converter(name: str, new_detector: NewDetector) -> MessageConverter:
    return MessageConverter(name, FORMAT.name, new_detector())


FORMAT = lines_format(
    name="chat-lines",
    expected="one message per line",
    recognises=_recognises,
    converter=_converter,
)
