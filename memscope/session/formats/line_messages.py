"""Read formats that are append-only JSON Lines with one message or record per line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeAlias

from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.nodes import Session

__all__ = ["LineConverter", "LineMessagesReader", "NewConverter", "lines_format"]


class LineConverter(Protocol):
    """Converts the values of lines one by one and builds their session."""

    def take(self, value: Any, where: str) -> None:
        """Add the value of the next line; `where` is its file and line, for errors.

        Raises:
            SessionError: It is invalid; the error names the field.
        """

    def session(self) -> Session:
        """Return the session of the lines added so far."""


NewConverter: TypeAlias = Callable[[str, NewDetector], LineConverter]
"""Creates the converter for the file with this name."""


class LineMessagesReader:
    """Reads line by line; blank lines between them are skipped."""

    def __init__(self, name: str, new_detector: NewDetector, *, converter: NewConverter) -> None:
        """Create a reader for the file with this name."""
        self._lines = LineReader(name, skip_blank=True)
        self._converter = converter(name, new_detector)

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


def lines_format(
    name: str, expected: str, recognises: Callable[[FileHead], bool], converter: NewConverter
) -> SessionFormat:
    """Return a format whose files have one message or record per line.

    Args:
        name: Its name.
        expected: What a file contains, for the error about unrecognised files.
        recognises: Returns whether a file with this head has this format.
        converter: Creates the converter of the lines.
    """
    reader = partial(LineMessagesReader, converter=converter)
    return SessionFormat(name=name, expected=expected, appends=True, recognises=recognises, reader=reader)
