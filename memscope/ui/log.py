"""The log pane: messages of the run and its scorer, newest last."""

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

_MAX_LINES = 500


class LogPane(VerticalScroll, can_focus=True):
    """A bounded list of lines whose text can be selected."""

    BINDINGS: ClassVar[list[BindingType]] = LOG

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._text = Static("", markup=False)

    def compose(self) -> ComposeResult:
        """Create the text."""
        yield self._text

    def add(self, lines: Iterable[str]) -> None:
        """Add lines, made safe for the terminal, with the time of day."""
        stamp = time.strftime("%H:%M:%S")
        self._lines.extend(f"{stamp}  {one_line(line)}" for line in lines)
        self._text.update(Content("\n".join(self._lines)))
        self.scroll_end(animate=False)

    def focus_inside(self) -> None:
        """Focus the text."""
        self.focus()

    def copied(self) -> str:
        """Return all lines."""
        return "\n".join(self._lines)
