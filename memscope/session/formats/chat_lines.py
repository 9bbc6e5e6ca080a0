"""A conversation as append-only JSON Lines: one chat message per line."""

from __future__ import annotations

from collections.abc import Iterable

from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.formats.messages import MessageConverter
from memscope.session.nodes import Session

__all__ = ["FORMAT", "ChatLinesReader"]


class ChatLinesReader:
    """Reads messages line by line; blank lines between them are skipped."""

    def __init__(self, name: str, new_detector: NewDetector) -> None:
        """Create a reader for the file with this name."""
        self._lines = LineReader(name, skip_blank=True)
        self._converter = MessageConverter(name, FORMAT.name, new_detector())

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._take(self._lines.feed(data))

    def finish(self) -> None:
        """See `SessionReader.finish`."""
        self._take(self._lines.finish())

    def session(self) -> Session:
        """See `SessionReader.session`."""
        return self._converter.session()

    def _take(self, lines: Iterable[JsonLine]) -> None:
        for line in lines:
            self._converter.take(line.value, line.where)


def _recognises(head: FileHead) -> bool:
    match head.first:
        case {"role": _}:
            return True
    return False


FORMAT = SessionFormat(
    name="chat-lines",
    expected="one message per line",
    appends=True,
    recognises=_recognises,
    reader=ChatLinesReader,
)
