"""What a session format is: how its files are recognised, and how they are read while they grow.

To add a format, write a module in this folder with a `FORMAT`, and name the module in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from memscope.session.nodes import Session

if TYPE_CHECKING:
    from memscope.session.detectors import Detector

__all__ = ["FileHead", "NewDetector", "SessionFormat", "SessionReader"]

NewDetector: TypeAlias = "Callable[[], Detector]"
"""Makes a detector with the user's rules; formats that mark their memories exactly never call it."""


class FileHead:
    """What a file begins with, decoded once for all formats that look at it."""

    def __init__(self, data: bytes) -> None:
        """Take the bytes of a file, without a byte order mark."""
        self.data = data

    @cached_property
    def first(self) -> Any:
        """The JSON value in the first line; None where that line is not JSON."""
        return _decoded(self.data.split(b"\n", 1)[0])

    @cached_property
    def value(self) -> Any:
        """The JSON value in the first line or, where that is not JSON, in the whole file; None where neither is."""
        return _decoded(self.data) if self.first is None else self.first


class SessionReader(Protocol):
    """Reads one file, all at once or in pieces of any length as it grows."""

    def feed(self, data: bytes) -> None:
        """Take more bytes of the file.

        Raises:
            SessionError: They are wrong; the line names the file and, where it can, the line and the field.
        """

    def finish(self) -> None:
        """Take what stands behind the last newline: nothing more is appended to the file.

        Raises:
            SessionError: It is not complete.
        """

    def session(self) -> Session:
        """Return what was read so far.

        Raises:
            SessionError: That is not a session yet.
        """


@dataclass(frozen=True, slots=True)
class SessionFormat:
    """One file format.

    Attributes:
        name: What `doctor` calls it.
        expected: What a file has to hold to be recognised, for the error line of files that no format knows.
        appends: Whether each appended line extends the session, so that its file can be followed.
        recognises: Whether a file with this head is of this format.
        reader: Makes a reader for the file with this name.
    """

    name: str
    expected: str
    appends: bool
    recognises: Callable[[FileHead], bool]
    reader: Callable[[str, NewDetector], SessionReader]

    def read(self, data: bytes, name: str, new_detector: NewDetector) -> Session:
        """Read a whole file.

        Args:
            data: Its bytes, without a byte order mark.
            name: The file as the user named it.
            new_detector: Makes the detector that looks for memories.

        Raises:
            SessionError: Something is wrong; one line says where and what was expected.
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
