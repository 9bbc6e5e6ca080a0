"""The debug log: the steps of a run and unexpected errors, in a file of the state folder that is bounded in size.

What it never holds: the API key, a password in an address, the local variables of a traceback. Session text, memory
keys and the messages of unexpected errors, which may quote either, are written only with `--debug`; otherwise a memory
is named by its number.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import traceback
from collections.abc import Collection, Iterator
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import msgspec

from memscope.config import Config
from memscope.scoring.events import Event
from memscope.session.nodes import Session
from memscope.store.private import make_private_folder, open_private
from memscope.terminal.safe import visible

__all__ = ["DebugLog"]

_BYTES = 2 * 2**20
_OLD_FILES = 1
_FRAMES = 60
"""Frames kept of a traceback, counted from the place of the error: endless recursion has thousands."""

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


class DebugLog:
    """Listens to a run. Where the file cannot be written it stays silent: the run matters more.

    Attributes:
        path: The file.
    """

    def __init__(self, config: Config, session: Session | None = None) -> None:
        """Open the log.

        Args:
            config: Says where the state folder is, and whether session text may be written.
            session: The session of the run; None where an error came before one was read.
        """
        self._in_full = config.debug
        self._secret = os.environ.get(config.api_key_env)
        keys = session.memory_keys() if session else ()
        self._numbers = {key: number for number, key in enumerate(keys)}
        self._handler: RotatingFileHandler | None = None
        self.path = config.state_folder() / "debug.log"
        with contextlib.suppress(OSError):
            make_private_folder(self.path.parent)
            self._handler = _PrivateHandler(
                self.path, maxBytes=_BYTES, backupCount=_OLD_FILES, encoding="utf-8", errors="backslashreplace"
            )
            self._handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
        if session:
            self._write(f"session {session.header.id!r}: {len(session.nodes)} nodes")

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self._write(self._shown("", event))

    def exception(self, error: BaseException) -> str:
        """Write an unexpected error with its traceback, without the local variables.

        Args:
            error: The error; those that it came from are written with it.

        Returns:
            One line for the user: what happened, where, and where the traceback is.
        """
        lines = [line for one in _chain(error) for line in self._traceback(one)]
        self._write("unexpected error\n" + "".join(lines).rstrip())
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        where = f"its traceback is in {self.path}" if self._handler else f"{self.path} cannot be written"
        return f"unexpected {type(error).__name__}{place}: this is a fault in memscope, {where}"

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            with contextlib.suppress(OSError):  # what a full disk did not take is lost
                self._handler.close()

    def _traceback(self, error: BaseException) -> Iterator[str]:
        frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
        yield "traceback, most recent call last:\n"
        yield from frames.format()
        yield type(error).__name__ + (f": {visible(str(error))}" if self._in_full else "") + "\n"

    def _shown(self, name: str, value: Any) -> str:
        """Return a field of an event as it may be written."""
        match value:
            case msgspec.Struct():
                fields = (f"{field}={self._shown(field, getattr(value, field))}" for field in value.__struct_fields__)
                return f"{type(value).__name__}({', '.join(fields)})"
            case str() if name == "text" and not self._in_full:
                return f"({len(value)} characters)"
            case str() if (name == "key" or value in self._numbers) and not self._in_full:
                return f"memory {self._numbers.setdefault(value, len(self._numbers))}"
            case tuple() | list() | frozenset():
                return f"[{', '.join(self._shown(name, item) for item in value)}]"
        return repr(value)

    def _write(self, line: str) -> None:
        if self._handler is None:
            return
        line = _CREDENTIALS.sub("", line)
        if self._secret:
            line = line.replace(self._secret, "(API key)")
        self._handler.emit(logging.LogRecord("memscope", logging.DEBUG, "", 0, line, None, None))


def _chain(error: BaseException, seen: Collection[int] = ()) -> Iterator[BaseException]:
    """Yield the errors that an error came from, in the order in which they happened, and then itself."""
    if id(error) in seen:
        return
    seen = {*seen, id(error)}
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _chain(before, seen)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _chain(one, seen)
    yield error


class _PrivateHandler(RotatingFileHandler):
    """Makes files that only their owner reads, and bears a disk that takes nothing."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=open_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        del record  # a full disk must not end a run
