"""inspect_ai evaluation logs that are a zip archive (`.eval`), with one JSON document a sample.

A long sample may be split: `samples/<id>_epoch_<n>/sample.json`, and folders beside it with chunks of its sequences,
each named after the index of its first item.
"""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from io import BytesIO
from typing import Any

from memscope.errors import SessionError
from memscope.session.formats.base import FileHead, NewDetector, SessionFormat
from memscope.session.formats.document import whole_file_format
from memscope.session.formats.fields import field_error
from memscope.session.formats.inspect_ai.log import sample_names
from memscope.session.formats.inspect_ai.sample import InspectLog, read_sample
from memscope.session.formats.selection import Candidate, choose
from memscope.session.json_text import parse_json
from memscope.session.nodes import Session

__all__ = ["FORMAT", "MEMBER_LIMIT", "read_inspect_archive"]

MEMBER_LIMIT = 512 * 2**20
"""Maximum size of an unpacked member in bytes."""

_HEADERS = ("header.json", "_journal/start.json")
"""The members that describe the evaluation; the second is all that an unfinished log has."""
_SAMPLE = re.compile(r"samples/(?P<id>.+)_epoch_(?P<epoch>\d+)(?:\.json|/sample\.json)")
_SEQUENCES = ("events", "messages", "attachments")
_ZSTANDARD = 93
"""The compression method of recent logs, which `zipfile` decodes from Python 3.14 on."""
_LENGTHS_OFFSET = 26
"""Where a member's local header has the lengths of its name and its extra field; the data follow them."""


def read_inspect_archive(data: bytes, name: str, new_detector: NewDetector, *, pick: str | None = None) -> Session:
    """Convert a log.

    Args:
        data: The archive.
        name: The file name, for error messages.
        new_detector: Creates the memory detector.
        pick: Id of the sample to read; None for the first with memories and responses.

    Raises:
        SessionError: It is not a log, or a field is invalid; the error names member and field.
        UsageError: No sample has the id `pick`.
    """
    archive = _Archive(data, name)
    header = next((archive.value(member) for member in _HEADERS if member in archive.names), None)
    log = InspectLog(name, FORMAT.name, header if isinstance(header, dict) else {})
    samples = sorted((match for member in archive.names if (match := _SAMPLE.fullmatch(member))), key=_place)
    if not samples:
        raise SessionError(f"{name}: a zip file without samples/*.json, expected an inspect_ai log with samples")
    names = sample_names((match["id"], match["epoch"]) for match in samples)
    candidates = [
        Candidate(id_, partial(_session, archive, match[0], log, id_, new_detector))
        for id_, match in zip(names, samples, strict=True)
    ]
    return choose(candidates, kind="sample", name=name, pick=pick)


def _place(sample: re.Match[str]) -> tuple[Any, ...]:
    """Return what samples are sorted by, numbers by size: an archive has them in the order in which they ended."""
    pieces = re.split(r"(\d+)", sample["id"])
    return [(piece.isdecimal(), int(piece) if piece.isdecimal() else piece) for piece in pieces], int(sample["epoch"])


def _session(archive: _Archive, member: str, log: InspectLog, sample_id: str, new_detector: NewDetector) -> Session:
    sample = archive.value(member)
    if not isinstance(sample, dict):
        raise field_error(f"{log.name}: {member}", "", "a JSON object", sample)
    if member.endswith("/sample.json"):
        sample |= _sequences(archive, member.removesuffix("sample.json"))
    return read_sample(sample, log, sample_id, new_detector)


def _sequences(archive: _Archive, folder: str) -> dict[str, Any]:
    """Return the sequences of a split sample in the form of one that is not split."""
    events, messages, attachments = (list(_items(archive, f"{folder}{name}/")) for name in _SEQUENCES)
    return {
        "events": events,
        "events_data": {"messages": messages},
        "attachments": {str(index): value for index, value in enumerate(attachments)},
    }


def _items(archive: _Archive, folder: str) -> Iterator[Any]:
    chunk = re.compile(rf"{re.escape(folder)}(\d+)\.json")
    starts = sorted(int(match[1]) for member in archive.names if (match := chunk.fullmatch(member)))
    for start in starts:
        items = archive.value(f"{folder}{start}.json")
        if not isinstance(items, list):
            raise field_error(f"{archive.name}: {folder}{start}.json", "", "a list", items)
        yield from items


class _Archive:
    """The JSON members of a zip archive.

    Attributes:
        name: Its file name, for error messages.
        names: The names of its members, in order, each once.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        try:
            self._zip = zipfile.ZipFile(BytesIO(data))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise SessionError(f"{name}: not a complete zip file: cut off, or still being written") from error
        self._data = data
        self.names = tuple(dict.fromkeys(self._zip.namelist()))

    def value(self, member: str) -> Any:
        """Return the JSON value of a member.

        Raises:
            SessionError: It cannot be unpacked, or is not JSON.
        """
        info = self._zip.getinfo(member)
        if info.file_size > MEMBER_LIMIT:
            raise self._error(member, f"too large, the limit is {MEMBER_LIMIT // 2**20} MiB")
        return parse_json(self._unpacked(info), f"{self.name}: {member}")

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        try:
            return self._zip.read(info)
        except NotImplementedError:
            if info.compress_type != _ZSTANDARD:
                raise self._error(info.filename, "unknown compression") from None
            return self._from_zstandard(info)
        except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError) as error:
            raise self._error(info.filename, f"cannot be unpacked: {error}") from error

    def _from_zstandard(self, info: zipfile.ZipInfo) -> bytes:
        """Unpack a member with the package that inspect_ai itself uses, where it is installed."""
        try:
            zstandard = import_module("zstandard")
        except ImportError:
            raise SessionError(
                f"{self.name}: compressed with zstd, which this Python cannot unpack: pip install zstandard, or "
                f"convert the log with: inspect log convert {self.name} --to json --output-dir ."
            ) from None
        lengths = struct.unpack_from("<HH", self._data, info.header_offset + _LENGTHS_OFFSET)
        start = info.header_offset + _LENGTHS_OFFSET + 4 + sum(lengths)
        packed = self._data[start : start + info.compress_size]
        try:
            frames = zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)
            unpacked: bytes = frames.read(info.file_size)
        except zstandard.ZstdError as error:
            raise self._error(info.filename, f"cannot be unpacked: {error}") from error
        if zlib.crc32(unpacked) != info.CRC:
            raise self._error(info.filename, "cannot be unpacked: its checksum is wrong")
        return unpacked

    def _error(self, member: str, what: str) -> SessionError:
        return SessionError(f"{self.name}: {member}: {what}")


def _recognises(head: FileHead) -> bool:
    return head.is_zip


def _format(pick: str | None) -> SessionFormat:
    return whole_file_format(
        name="inspect-eval",
        expected="an inspect_ai .eval archive",
        recognises=_recognises,
        read=partial(read_inspect_archive, pick=pick),
        picking=_format,
    )


FORMAT = _format(None)
