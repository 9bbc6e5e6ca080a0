"""The debug log: the events of a run and unexpected errors, in a size-limited file in the state folder.

It never contains the API key, a password in a URL, or the local variables of a traceback. Session text, memory keys
and the messages of unexpected errors, which may quote either, are written only with `--debug`; otherwise memories are
identified by number.
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
"""Innermost frames of a traceback that are logged: endless recursion has thousands."""

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")


class DebugLog:
    """An event listener that writes to a file. Write errors are ignored, so that logging never stops a run.

    Attributes:
        path: The log file.
    """

    def __init__(self, config: Config, session: Session | None = None) -> None:
        """Open the log.

        Args:
            config: The options, for the state folder and whether session text may be logged.
            session: The session of the run; None if an error occurred before it was read.
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
        """Log one event."""
        self._write(self._shown("", event))

    def exception(self, error: BaseException) -> str:
        """Log an unexpected error with its traceback, without local variables.

        Args:
            error: The error; its causes are logged with it.

        Returns:
            One line for the user: the error, where it occurred, and where the traceback is.
        """
        lines = [line for one in _chain(error) for line in self._traceback(one)]
        self._write("unexpected error\n" + "".join(lines).rstrip())
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        where = f"the traceback is in {self.path}" if self._handler else f"{self.path} cannot be written"
        return f"unexpected {type(error).__name__}{place}: this is a bug in memscope; {where}"

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            with contextlib.suppress(OSError):  # the disk may be full
                self._handler.close()

    def _traceback(self, error: BaseException) -> Iterator[str]:
        frames = traceback.extract_tb(error.__traceback__, limit=-_FRAMES)
        yield "traceback, most recent call last:\n"
        yield from frames.format()
        yield type(error).__name__ + (f": {visible(str(error))}" if self._in_full else "") + "\n"

    def _shown(self, name: str, value: Any) -> str:
        """Return an event field as text for the log, hiding session text."""
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
    """Yield the causes of an error in the order in which they occurred, then the error itself."""
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
    """Creates files that only their owner can read, and ignores write errors."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=open_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        del record  # a full disk must not end a run
