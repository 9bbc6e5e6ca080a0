"""Read formats that are append-only JSON Lines with one message or record per line."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.lines import JsonLine, LineReader
from memscope.session.nodes import Session

__all__ = ["LineConverter", "LineMessagesReader", "NewConverter", "SkipsInvalidLines", "lines_format"]


class LineConverter(Protocol):
    """Converts the values of lines one by one and builds their session."""

    def take(self, value: Any, where: str) -> None:
        """Add the value of the next line; `where` is its file and line, for errors.

        Raises:
            SessionError: It is invalid; the error names the field.
        """

    def session(self) -> Session:
        """Return the session of the lines added so far."""


@runtime_checkable
class SkipsInvalidLines(Protocol):
    """A converter of files whose program goes past lines that are not JSON; for others such a line is an error."""

    def skip_invalid(self) -> None:
        """Count a line that is not JSON."""


NewConverter: TypeAlias = Callable[[str, NewDetector], LineConverter]
"""Creates the converter for the file with this name."""


class LineMessagesReader:
    """Reads line by line; blank lines between them are skipped."""

    def __init__(self, name: str, new_detector: NewDetector, *, converter: NewConverter) -> None:
        """Create a reader for the file with this name."""
        self._converter = converter(name, new_detector)
        skips = self._converter.skip_invalid if isinstance(self._converter, SkipsInvalidLines) else None
        self._lines = LineReader(name, skip_blank=True, on_invalid=(lambda _: skips()) if skips else None)

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
    name: str,
    expected: str,
    recognises: Callable[[FileHead], bool],
    converter: NewConverter,
    in_project: Callable[[Path], SessionFormat] | None = None,
) -> SessionFormat:
    """Return a format whose files have one message or record per line.

    Args:
        name: Its name.
        expected: What a file contains, for the error about unrecognised files.
        recognises: Returns whether a file with this head has this format.
        converter: Creates the converter of the lines.
        in_project: See `SessionFormat`.
    """
    return SessionFormat(
        name=name,
        expected=expected,
        appends=True,
        recognises=recognises,
        reader=partial(LineMessagesReader, converter=converter),
        in_project=in_project,
    )
