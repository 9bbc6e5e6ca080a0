"""Show a run's progress on stderr: one line that is redrawn in place on a terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from memscope.scoring.events import (
    Event,
    Failed,
    Finished,
    Notice,
    Progress,
    RowFailed,
    ScorerLost,
    ScorerReady,
    ScorerStarting,
    SessionNotes,
    StrippedDone,
)
from memscope.terminal.safe import one_line
from memscope.terminal.streams import can_redraw

__all__ = ["ProgressLine"]


class ProgressLine:
    """An event listener. Notices are always printed, progress only on a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = can_redraw(self._stream)
        self._open = False

    def __call__(self, event: Event) -> None:
        """Handle one event."""
        match event:
            case Notice(text):
                self._line(f"note: {text}")
            case SessionNotes(lines):
                for line in lines:
                    self._line(f"note: {line}")
            case RowFailed(key=key, error=error):
                self._line(f"memory {key} failed: {error}")
            case ScorerLost(last_lines=lines):
                for line in lines:
                    self._line(f"scorer: {line}")
            case ScorerStarting(what):
                self._show(f"{what} …")
            case Progress(done, total, rate, eta):
                left = f", {eta:.0f} s left" if eta is not None else ""
                self._show(f"{done}/{total} rows, {rate or 0:.1f} rows/s{left}")
            case Finished() | ScorerReady() | StrippedDone() | Failed():
                self._clear()
            case _:
                pass

    def _show(self, text: str) -> None:
        if self._live:
            self._stream.write(f"\r\x1b[K{one_line(text)}")
            self._stream.flush()
            self._open = True

    def _clear(self) -> None:
        if self._open:
            self._stream.write("\r\x1b[K")
            self._open = False

    def _line(self, text: str) -> None:
        self._clear()
        self._stream.write(f"memscope: {one_line(text)}\n")
        self._stream.flush()
