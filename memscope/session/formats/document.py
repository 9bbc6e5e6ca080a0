"""Read formats whose files are one JSON document, or one archive, once they are complete."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.fields import field_error
from memscope.session.json_text import parse_json
from memscope.session.nodes import Session

__all__ = ["ReadBytes", "ReadDocument", "WholeFileReader", "document_format", "whole_file_format"]

ReadBytes: TypeAlias = Callable[[bytes, str, NewDetector], Session]
"""Converts the bytes of a file to a session, given the file name, for error messages, and the memory detector."""

ReadDocument: TypeAlias = Callable[[Any, str, NewDetector], Session]
"""The same for a decoded document."""


class WholeFileReader:
    """Buffers the bytes of a file until it is complete."""

    def __init__(self, name: str, new_detector: NewDetector, *, read: ReadBytes) -> None:
        """Create a reader for the file with this name."""
        self._name = name
        self._new_detector = new_detector
        self._read = read
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """See `SessionReader.feed`."""
        self._data += data

    def finish(self) -> None:
        """See `SessionReader.finish`; an incomplete file is detected when it is decoded."""

    def session(self) -> Session:
        """See `SessionReader.session`."""
        return self._read(bytes(self._data), self._name, self._new_detector)


def document_format(
    name: str,
    expected: str,
    recognises: Callable[[FileHead], bool],
    read: ReadDocument,
    picking: Callable[[str], SessionFormat] | None = None,
    in_project: Callable[[Path], SessionFormat] | None = None,
) -> SessionFormat:
    """Return a format whose files are one JSON document.

    Args:
        name: Its name.
        expected: What a file contains, for the error about unrecognised files.
        recognises: Returns whether a file with this head has this format.
        read: Converts the decoded document.
        picking: See `SessionFormat`.
        in_project: See `SessionFormat`.
    """
    return whole_file_format(name, expected, recognises, partial(_read_document, read=read), picking, in_project)


def whole_file_format(
    name: str,
    expected: str,
    recognises: Callable[[FileHead], bool],
    read: ReadBytes,
    picking: Callable[[str], SessionFormat] | None = None,
    in_project: Callable[[Path], SessionFormat] | None = None,
) -> SessionFormat:
    """Return a format whose files are read as a whole; see `document_format`."""
    return SessionFormat(
        name=name,
        expected=expected,
        appends=False,
        recognises=recognises,
        reader=partial(WholeFileReader, read=read),
        picking=picking,
        in_project=in_project,
    )


def _read_document(data: bytes, name: str, new_detector: NewDetector, *, read: ReadDocument) -> Session:
    _check_alone(data, name)
    document = parse_json(data, name)
    if isinstance(document, str):
        document = parse_json(document.encode(), name)  # some programs write their JSON as a JSON string
    if not isinstance(document, dict | list):
        raise field_error(name, "", "a JSON object or list", document)
    return read(document, name, new_detector)


def _check_alone(data: bytes, name: str) -> None:
    """Check that nothing follows a document that ends on its first line."""
    first, _, rest = data.partition(b"\n")
    if rest.strip() and FileHead(first).first is not None:
        raise SessionError(f"{name}:2: expected one conversation per file, got a second line")
