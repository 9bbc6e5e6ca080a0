"""Read JSON Lines from growing files: complete lines as they arrive, and a last line without a newline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from memscope.errors import SessionError
from memscope.session.json_text import parse_json
from memscope.session.limits import LINE_LIMIT

__all__ = ["LINE_LIMIT", "JsonLine", "LineReader"]


class JsonLine(NamedTuple):
    """One line of a file.

    Attributes:
        where: File and line number, for errors.
        value: The decoded value.
    """

    where: str
    value: Any


class LineReader:
    """Splits the bytes of a file into lines.

    Attributes:
        pending: The bytes after the last newline: an append in progress, unless the file ends there.
    """

    def __init__(
        self, name: str, *, skip_blank: bool = False, on_invalid: Callable[[SessionError], None] | None = None
    ) -> None:
        """Create a reader at the beginning of a file.

        Args:
            name: The file name, for error messages.
            skip_blank: Skip blank lines instead of rejecting them.
            on_invalid: Called with the error of each line that is not JSON, which is then skipped; by default the error
                is raised.
        """
        self.pending = b""
        self._name = name
        self._skip_blank = skip_blank
        self._on_invalid = on_invalid
        self._number = 0

    def feed(self, data: bytes) -> Iterator[JsonLine]:
        """Yield the lines that these bytes complete.

        Raises:
            SessionError: A line is not JSON, or is longer than `LINE_LIMIT`.
        """
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            try:
                yield from self._taken(line)
            except SessionError as error:
                self._report(error)
        self._check_length(self.pending, self._number + 1)

    def finish(self) -> Iterator[JsonLine]:
        """Yield the last line, if it has no newline.

        Raises:
            SessionError: It is not complete JSON.
        """
        line, self.pending = self.pending, b""
        if not line.strip():
            return
        try:
            yield from self._taken(line)
        except SessionError:
            self._report(
                SessionError(
                    f"{self._name}:{self._number}: the last line has no newline and is not complete JSON: "
                    "it was cut off, or is still being written"
                )
            )

    def _report(self, error: SessionError) -> None:
        if self._on_invalid is None:
            raise error
        self._on_invalid(error)

    def _taken(self, line: bytes) -> Iterator[JsonLine]:
        self._number += 1
        where = f"{self._name}:{self._number}"
        self._check_length(line, self._number)
        if self._number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield JsonLine(where, parse_json(line, self._name, self._number))
        elif not self._skip_blank:
            raise SessionError(f"{where}: expected a JSON object, got an empty line")

    def _check_length(self, line: bytes, number: int) -> None:
        if len(line) > LINE_LIMIT:
            raise SessionError(
                f"{self._name}:{number}: the line is longer than {LINE_LIMIT // 2**20} MiB; "
                "a session file has one node per line"
            )
