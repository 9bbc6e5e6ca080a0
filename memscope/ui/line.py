"""A one-line widget that is drawn from styled pieces of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

__all__ = ["OneLine", "StyledText"]

StyledText: TypeAlias = tuple[str, Style]


class OneLine(Widget):
    """One line of pieces, cut at the right. The texts must already be safe for a terminal."""

    ALLOW_SELECT = False
    DEFAULT_CSS = "OneLine { height: 1; width: 1fr; }"

    def pieces(self, width: int) -> Iterable[StyledText]:
        """Return the pieces of a line of `width` cells."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        strip = Strip(Segment(text, style) for text, style in self.pieces(width) if text)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)
