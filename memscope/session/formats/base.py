"""The interface of a session format: recognise its files, and read them, also while they grow.

To add a format, write a module in this folder with a `FORMAT` and list it in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from memscope.session.nodes import Session

if TYPE_CHECKING:
    from memscope.session.detectors import Detector

__all__ = ["FileHead", "NewDetector", "SessionFormat", "SessionReader"]

NewDetector: TypeAlias = "Callable[[], Detector]"
"""Creates a detector with the user's rules; formats with explicit memories never call it."""


class FileHead:
    """The beginning of a file, decoded once for all formats that inspect it."""

    def __init__(self, data: bytes) -> None:
        """Wrap the bytes of a file, without a byte order mark."""
        self.data = data

    @property
    def is_zip(self) -> bool:
        """Whether the file is a zip archive, the only kind of binary file that a format has."""
        return self.data.startswith(b"PK\x03\x04")

    @cached_property
    def first(self) -> Any:
        """The JSON value in the first line; None if it is not JSON."""
        return _decoded(self.data.split(b"\n", 1)[0])

    @cached_property
    def value(self) -> Any:
        """The JSON value that the whole file is; None if it is none, or if it has a value in each of several lines."""
        if self.first is None:
            return _decoded(self.data)
        return None if self.data.partition(b"\n")[2].strip() else self.first


class SessionReader(Protocol):
    """Reads one file, at once or incrementally as it grows."""

    def feed(self, data: bytes) -> None:
        """Read more bytes of the file.

        Raises:
            SessionError: They are invalid; the message names the file and, if possible, the line and the field.
        """

    def finish(self) -> None:
        """Read what follows the last newline, when nothing more will be appended to the file.

        Raises:
            SessionError: The last line is incomplete.
        """

    def session(self) -> Session:
        """Return the session read so far.

        Raises:
            SessionError: It is not a session yet.
        """


@dataclass(frozen=True, slots=True)
class SessionFormat:
    """One file format.

    Attributes:
        name: Its name, as shown by `memscope doctor`.
        expected: What a file of this format contains, for the error about unrecognised files.
        appends: Whether each appended line extends the session, so that the file can be followed.
        recognises: Returns whether a file with this head has this format.
        reader: Creates a reader for the file with this name.
        in_project: Returns the format for files of the project in a folder, where memory files that are missing in the
            session file are read from; None if the format has no such files.
        picking: Returns the format that reads the conversation with this id, for files that hold several; None if
            files of this format hold one.
    """

    name: str
    expected: str
    appends: bool
    recognises: Callable[[FileHead], bool]
    reader: Callable[[str, NewDetector], SessionReader]
    in_project: Callable[[Path], SessionFormat] | None = None
    picking: Callable[[str], SessionFormat] | None = None

    def read(self, data: bytes, name: str, new_detector: NewDetector) -> Session:
        """Read a whole file.

        Args:
            data: The bytes, without a byte order mark.
            name: The file name, for error messages.
            new_detector: Creates the memory detector.

        Raises:
            SessionError: The file is invalid; the message says where and what was expected.
        """
        reader = self.reader(name, new_detector)
        reader.feed(data)
        reader.finish()
        return reader.session()


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
