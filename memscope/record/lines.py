"""The lines of a recording as they are written: JSON, ids from content, and the file that they are appended to."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from typing import Any

from memscope.errors import SessionError
from memscope.session.limits import DEPTH_LIMIT, nests_deeper

__all__ = ["AppendedFile", "content_id", "encoded", "new_name", "utc_now"]

_HASH_BYTES = 8
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SORTING = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
_MODE = 0o600


def encoded(value: Any, *, sort: bool = False) -> bytes:
    """Return a value as JSON.

    Halves of surrogate pairs, which no UTF-8 text can hold, are joined where both are there, as a stream may deliver
    them in two pieces; others are replaced.

    Args:
        value: The value.
        sort: Whether to sort the names in objects, so that equal values are equal bytes.

    Raises:
        ValueError: It has a number that is not finite.
        RecursionError: It is nested too deeply to be read again.
    """
    text = (_SORTING if sort else _ENCODER).encode(value)
    if text.count("[") + text.count("{") > DEPTH_LIMIT and nests_deeper(value, DEPTH_LIMIT):
        raise RecursionError(f"more than {DEPTH_LIMIT} lists and objects inside each other")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def content_id(prefix: str, value: Any) -> str:
    """Return an id that follows from a value: the same content has the same id in every recording.

    Raises:
        ValueError, RecursionError: See `encoded`.
    """
    return prefix + hashlib.blake2b(encoded(value, sort=True), digest_size=_HASH_BYTES).hexdigest()


def new_name(digits: int) -> str:
    """Return a name from the local time and some random hexadecimal digits."""
    return f"{time.strftime('%Y-%m-%d-%H%M%S')}-{os.urandom(digits).hex()[:digits]}"


def utc_now() -> str:
    """Return the time now in RFC 3339, in milliseconds."""
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now * 1000) % 1000:03}Z"


class AppendedFile:
    """A file that only its owner can read, to which one process appends lines, each with a single write.

    A write that a full disk cut short leaves the beginning of a line. The next line then begins with a newline, so that
    a reader finds the whole line after the damaged one; a truncation instead would disturb who follows the file.
    """

    def __init__(self, path: str) -> None:
        """Open a file, or create it.

        Args:
            path: The file.

        Raises:
            SessionError: It cannot be opened, is not a regular file, or another recorder writes it.
        """
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, _MODE)
        except (OSError, ValueError) as error:
            raise SessionError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error
        try:
            self._claim(path)
        except BaseException:
            os.close(self._file)
            raise
        self._torn = False
        self._size = os.fstat(self._file).st_size

    @property
    def lost(self) -> str:
        """What happened to lines that were in the file: "deleted" or "truncated"; "" if all are there."""
        status = os.fstat(self._file)
        if status.st_nlink == 0:
            return "deleted"
        return "truncated" if status.st_size < self._size else ""

    def read(self) -> Iterator[bytes]:
        """Yield the lines that are in the file; note whether the last one lacks its newline."""
        with open(os.dup(self._file), "rb") as file:  # noqa: PTH123 - of a descriptor
            for line in file:
                self._torn = not line.endswith(b"\n")
                yield line

    def append(self, line: bytes) -> None:
        """Write a line.

        Args:
            line: The line, without a newline.

        Raises:
            OSError: It is not in the file, or only its beginning.
        """
        data = (b"\n" if self._torn else b"") + line + b"\n"
        written = os.write(self._file, data)
        self._size += written
        if written < len(data):
            self._torn = self._torn or written > 0
            raise OSError(None, "the line was cut short")
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _claim(self, path: str) -> None:
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise SessionError(f"{path}: not a regular file, so calls cannot be appended")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SessionError(f"{path}: another recorder writes this file; choose another one") from None
        except OSError:
            return  # a file system without locks
        with contextlib.suppress(PermissionError):
            os.fchmod(self._file, _MODE)
