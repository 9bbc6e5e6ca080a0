"""Follow a session file while another process writes it.

Only what was appended is read. A last line without a newline is an append in progress and waits; a line that is invalid
is skipped and reported once. If the file is truncated, replaced, or deleted and created again, it is read from the
start, which is reported as well. Formats that are one document, such as chat JSON, cannot be followed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import TypeAlias

import msgspec

from memscope.errors import MemscopeError, SessionError
from memscope.session.detectors import Detector
from memscope.session.formats.base import SessionReader
from memscope.session.formats.lines import LINE_LIMIT
from memscope.session.formats.registry import choose_format
from memscope.session.nodes import Header, Session
from memscope.session.text import responses
from memscope.terminal.counts import counted

__all__ = ["FileUpdate", "FollowedFile", "empty_session", "newest_file"]

_BOM = b"\xef\xbb\xbf"
_PIECE_BYTES = 4 * 2**20
_TAIL_BYTES = 64
"""How much of what was read last is compared before more is read, to notice that a file was rewritten in place."""

_HEAD_LINES = 32
"""First lines that may be needed to tell the format: some agents begin with lines of their own."""

_OPENS_DOCUMENT = re.compile(rb"\s*[\[{]\s*\Z")
"""A first line after which a JSON document goes on."""

_SKIPS_REPORTED = 3
"""Invalid lines of one update that are reported with their reason; the others are counted."""

_Stamp: TypeAlias = tuple[int, int, int, int]
"""Device, inode, size in bytes, and time of the last change in nanoseconds."""


class FileUpdate(msgspec.Struct, frozen=True):
    """What one look at a followed file found.

    Attributes:
        session: The new version of the session; None if there is nothing new.
        notices: What happened to the file and which lines were skipped, one line each.
    """

    session: Session | None = None
    notices: tuple[str, ...] = ()


@dataclass
class _Progress:
    """How far one file, identified by device and inode, has been read.

    Attributes:
        identity: Device and inode.
        offset: Bytes read so far.
        tail: The last of these bytes.
        pending: The bytes after the last newline.
        lines: Complete lines read so far.
        head: The first lines, until they suffice to tell the format.
        reader: The reader of the file's format; None until that is known.
        refused: Whether the file cannot be followed, and is left alone until it is replaced.
        skipped: Why lines were skipped, since the last update.
    """

    identity: tuple[int, int]
    offset: int = 0
    tail: bytes = b""
    pending: bytes = b""
    lines: int = 0
    head: list[bytes] = field(default_factory=list)
    reader: SessionReader | None = None
    refused: bool = False
    skipped: list[str] = field(default_factory=list)


class FollowedFile:
    """One session file that grows.

    `poll` reads the disk and parses, so call it off the event loop; calls must not overlap.

    Attributes:
        waiting: What is awaited, on one line, while there is no file with a session; "" otherwise.
    """

    def __init__(
        self,
        place: Path,
        *,
        newest: bool = False,
        rules: Collection[str] | None = None,
        pattern: str | None = None,
        source_format: str | None = None,
        project: str | Path | None = None,
        pick: str | None = None,
    ) -> None:
        """Create a follower; nothing is read yet.

        Args:
            place: The file, which need not exist yet.
            newest: `place` is a folder: follow the file in it that was changed last, once there is one. A newer one
                takes its place when its recorder has ended, or while it has no response: an agent may fail at first.
            rules: Names of the memory rules to apply to chat messages; None for all.
            pattern: The user's memory pattern; see `memscope.session.detectors`.
            source_format: The name of the file's format; by default it is determined from the content.
            project: The folder of the project, to read memory files from that an agent's transcript lacks.
            pick: The id of a conversation; files that hold several cannot be followed, so the first look refuses it.

        Raises:
            UsageError: The name of a rule is unknown, or the pattern is invalid.
        """
        self._new_detector = partial(Detector, rules, pattern)
        self._new_detector()  # report mistakes in the options whatever the file contains
        self._source_format, self._project, self._pick = source_format, project, pick
        self._folder = place if newest else None
        self._path = None if newest else place
        self._newest: Path | None = None
        self._folder_changed = 0
        self._progress: _Progress | None = None
        self._stamp: _Stamp | None = None
        self._trouble = ""
        self._seen = False
        self._answered = False
        self.waiting = f"waiting for a recording in {place}" if newest else f"waiting for {place}"

    @property
    def name(self) -> str:
        """The file or folder, for messages."""
        return str(self._path or self._folder)

    def poll(self) -> FileUpdate:
        """Read what was appended since the last call.

        Raises:
            SessionError: The file cannot be followed, which is raised once, until it is replaced.
            UsageError: The format or the project is not one that can be used for the file.
        """
        if self._path is None and self._folder is not None:
            self._path = newest_file(self._folder)
        if self._path is None:
            return FileUpdate()
        told = tuple(self._newer())
        update = self._look(self._path)
        return FileUpdate(update.session, (*told, *update.notices)) if told else update

    def _look(self, path: Path) -> FileUpdate:
        try:
            status = path.stat()
            if _stamp(status) == self._stamp:
                return FileUpdate()
            if not stat.S_ISREG(status.st_mode):
                raise SessionError(f"{self.name}: not a regular file, which cannot be followed")
            with path.open("rb") as file:
                self._stamp = _stamp(os.fstat(file.fileno()))
                return self._read(file, self._stamp)
        except FileNotFoundError:
            return self._gone()
        except OSError as error:
            return self._troubled(f"{self.name} cannot be read: {error.strerror}")

    def _newer(self) -> Iterator[str]:
        """Yield once that the folder has a newer file than the one that is followed, and follow it if that is empty."""
        if self._folder is None or (changed := _changed(self._folder)) == self._folder_changed:
            return
        self._folder_changed = changed  # a folder changes when a file is added to it
        newest = newest_file(self._folder)
        if newest in (None, self._path, self._newest):
            return
        self._newest = newest
        if self._answered and self._path is not None and _is_being_written(self._path):
            yield f"{newest} is newer: start memscope --follow again to follow it"
        else:
            ended = "is complete" if self._answered else "has no response"
            yield f"{self.name} {ended}; following {newest}, which is newer"
            self._path, self._progress, self._stamp, self._seen = newest, None, None, False
            self._answered = False

    def _gone(self) -> FileUpdate:
        self._stamp = self._progress = None
        if not self._seen:
            return FileUpdate()
        self.waiting = f"waiting for {self.name} to be created again"
        return self._troubled(f"{self.name} was deleted: {self.waiting}")

    def _troubled(self, trouble: str) -> FileUpdate:
        """Report a problem once, as long as it lasts."""
        new, self._trouble = trouble != self._trouble, trouble
        return FileUpdate(notices=(trouble,) if new and trouble else ())

    def _read(self, file: BufferedReader, stamp: _Stamp) -> FileUpdate:
        notices = tuple(self._restarts(file, stamp))
        if notices or self._progress is None:
            self._progress = _Progress(stamp[:2])
        self._seen, self._trouble = True, ""
        progress = self._progress
        if progress.refused:
            return FileUpdate(notices=notices)
        before = progress.lines
        try:
            for piece in _pieces(file, progress, stamp[2]):
                self._feed(progress, piece)
        except MemscopeError as error:
            progress.refused, self.waiting = True, f"waiting for another file: {error}"
            raise
        grown = progress.lines > before
        return FileUpdate(self._session(progress) if grown else None, (*notices, *_reported(progress)))

    def _restarts(self, file: BufferedReader, stamp: _Stamp) -> Iterator[str]:
        """Yield why the file has to be read from the start, if it has."""
        known = self._progress
        if known is None:
            if self._seen:
                yield f"{self.name} is there again: reading it from the start"
        elif known.identity != stamp[:2]:
            yield f"{self.name} was replaced by another file: reading it from the start"
        elif stamp[2] < known.offset:
            yield f"{self.name} was truncated: reading it from the start"
        elif not _continues(file, known):
            yield f"{self.name} was rewritten: reading it from the start"

    def _feed(self, progress: _Progress, piece: bytes) -> None:
        *lines, rest = (progress.pending + piece).split(b"\n")
        # A reader rejects a line that is too long by its length, so the rest of it is not needed.
        progress.pending = rest[: LINE_LIMIT + 1]
        for line in lines:
            self._line(progress, line)
        if not progress.head and progress.pending:
            self._check_document(progress.pending)

    def _line(self, progress: _Progress, line: bytes) -> None:
        if progress.reader is None:
            progress.head.append(line)
            progress.reader = self._reader_for(progress.head)
            lines = progress.head if progress.reader else []
        else:
            lines = [line]
        for one in lines:
            self._take(progress, one)

    def _take(self, progress: _Progress, line: bytes) -> None:
        if progress.reader is None:
            return
        progress.lines += 1
        try:
            progress.reader.feed(line + b"\n")
        except SessionError as error:
            if progress.lines == 1:
                raise
            progress.skipped.append(str(error))

    def _reader_for(self, head: Sequence[bytes]) -> SessionReader | None:
        """Return a reader for the format that the first lines belong to; None if more lines are needed to tell.

        Raises:
            SessionError: They are not JSON, or of a format that cannot be followed, or still unknown.
        """
        data = b"\n".join(head).removeprefix(_BOM)
        try:
            chosen = choose_format(data, self.name, self._source_format, self._project, self._pick)
        except SessionError as error:
            if not _is_json(head[0].removeprefix(_BOM)) and _OPENS_DOCUMENT.match(data):
                raise SessionError(
                    f"{self.name}:1: is no line of JSON but may begin a document, which cannot be followed; "
                    "open it without --follow"
                ) from error
            if len(head) >= _HEAD_LINES or not _is_json(head[0].removeprefix(_BOM)):
                raise
            self.waiting = str(error)
            return None
        if not chosen.appends:
            raise SessionError(
                f"{self.name}: a file of format {chosen.name} is one document and cannot be followed; "
                "open it without --follow"
            )
        return chosen.reader(self.name, self._new_detector)

    def _check_document(self, start: bytes) -> None:
        """Report a whole document, which has no complete first line to wait for.

        Raises:
            SessionError: It is one.
        """
        if _is_json(start.removeprefix(_BOM)):
            self._reader_for([start])

    def _session(self, progress: _Progress) -> Session | None:
        if progress.reader is None:
            return None
        try:
            session = progress.reader.session()
        except SessionError:
            return None  # not enough has been written yet
        self.waiting = ""
        self._answered = next(responses(session), None) is not None
        return session


def empty_session(file: FollowedFile) -> Session:
    """Return what is shown of a file that has no session yet."""
    return Session(header=Header(id=file.name, title=file.waiting), nodes=())


def newest_file(folder: Path) -> Path | None:
    """Return the JSON Lines file of a folder that was changed last; None if it has none or cannot be read."""
    try:
        found = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(folder) if _is_session(entry)]
    except OSError:
        return None
    return Path(max(found)[1]) if found else None


def _is_session(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".jsonl") and not entry.name.startswith(".") and entry.is_file()


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_being_written(path: Path) -> bool:
    """Return whether a recorder holds its lock on a recording."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _continues(file: BufferedReader, known: _Progress) -> bool:
    """Return whether what was read last is still where it was."""
    file.seek(known.offset - len(known.tail))
    return file.read(len(known.tail)) == known.tail


def _pieces(file: BufferedReader, progress: _Progress, size: int) -> Iterator[bytes]:
    """Yield what follows the bytes read so far, up to the size that the file had, which may be growing."""
    file.seek(progress.offset)
    while progress.offset < size and (piece := file.read(min(_PIECE_BYTES, size - progress.offset))):
        progress.offset += len(piece)
        progress.tail = (progress.tail + piece)[-_TAIL_BYTES:]
        yield piece


def _reported(progress: _Progress) -> Iterator[str]:
    """Yield the lines skipped since the last update, the first ones with their reason."""
    skipped, progress.skipped = progress.skipped, []
    yield from (f"skipped: {reason}" for reason in skipped[:_SKIPS_REPORTED])
    if more := skipped[_SKIPS_REPORTED:]:
        yield f"skipped: {counted(len(more), 'more line')} of the same update"
