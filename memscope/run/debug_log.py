"""The debug log: every step of a run as one line in a file of the state folder, bounded in size.

Session text is not written unless the user asks with `--debug`; memories are named by their row.
"""

from __future__ import annotations

import contextlib
import logging
from logging.handlers import RotatingFileHandler

from msgspec.structs import replace

from memscope.config import Config
from memscope.scoring.events import AlternateDone, AlternateGrew, Event
from memscope.session.nodes import Session

__all__ = ["DebugLog"]

_BYTES = 2 * 2**20
_OLD_FILES = 1


class DebugLog:
    """Listens to a run. Where the file cannot be written it stays silent: the run matters more."""

    def __init__(self, config: Config, session: Session) -> None:
        self._keys = session.memory_keys() if config.debug else ()
        self._handler: RotatingFileHandler | None = None
        self.path = config.state_folder() / "debug.log"
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = _QuietHandler(
                self.path, maxBytes=_BYTES, backupCount=_OLD_FILES, encoding="utf-8", errors="backslashreplace"
            )
            self._handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
            self._write(f"session {session.header.id!r}: {len(session.nodes)} nodes")

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, AlternateGrew | AlternateDone) and not self._keys:
            event = replace(event, text=f"({len(event.text)} characters)")
        row = getattr(event, "row", None)
        named = f" key={self._keys[row]!r}" if row is not None and row < len(self._keys) else ""
        self._write(f"{event!r}{named}")

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            with contextlib.suppress(OSError):  # what a full disk did not take is lost
                self._handler.close()

    def _write(self, line: str) -> None:
        if self._handler is not None:
            self._handler.emit(logging.LogRecord("memscope", logging.DEBUG, "", 0, line, None, None))


class _QuietHandler(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        del record  # a full disk must not end a run
