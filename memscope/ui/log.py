"""The log: what the run and its scorer had to say, newest last."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from memscope.terminal.safe import one_line
from memscope.ui.keys import LOG

__all__ = ["LogPane"]

_KEPT = 500


class LogPane(VerticalScroll, can_focus=True):
    """A bounded list of lines that can be selected."""

    BINDINGS: ClassVar[list[BindingType]] = LOG

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self._text = Static("", markup=False)

    def compose(self) -> ComposeResult:
        """One text."""
        yield self._text

    def add(self, lines: Iterable[str]) -> None:
        """Add lines, made safe and stamped with the time of day."""
        stamp = time.strftime("%H:%M:%S")
        self._lines.extend(f"{stamp}  {one_line(line)}" for line in lines)
        self._text.update(Content("\n".join(self._lines)))
        self.scroll_end(animate=False)

    def focus_inside(self) -> None:
        """Give the keyboard to the text."""
        self.focus()

    def copied(self) -> str:
        """Return all lines."""
        return "\n".join(self._lines)
