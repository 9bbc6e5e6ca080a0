"""The legend below the heatmap: the meaning of the colours, and how rows are sorted and filtered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.style import Style

from memscope.scoring.delta import Changes
from memscope.terminal.safe import cells, shorten
from memscope.ui.heatmap.rows import Sort
from memscope.ui.line import OneLine, StyledText
from memscope.ui.palette import make_palette
from memscope.ui.scale import FAILED, LEVELS, UNSCORED, ZERO, level_code
from memscope.ui.shell import key_of

if TYPE_CHECKING:
    from memscope.ui.heatmap.view import HeatmapView

__all__ = ["Legend"]

_DIM = Style(dim=True)
_ROOMY = 90
_SORTED: dict[Sort, str] = {
    "appearance": "in order of appearance",
    "importance": "by importance",
    "maximum": "by maximum",
    "key": "by key",
}
_ZOOMED = {"cells": "", "half": "half blocks", "overview": "overview"}


class Legend(OneLine):
    """The legend of one heatmap."""

    def __init__(self, view: HeatmapView) -> None:
        super().__init__()
        self._view = view

    def pieces(self, width: int) -> Iterator[StyledText]:
        """Return the swatches, then as many labels as fit."""
        swatches = list(self._swatches())
        yield from swatches
        room = width - sum(cells(text) for text, _ in swatches)
        for word in self._words():
            text = "  " + shorten(word, 60)
            if cells(text) <= room:
                room -= cells(text)
                yield text, _DIM

    def _swatches(self) -> Iterator[StyledText]:
        view, scale = self._view, self._view.rows.scale
        palette = make_palette(view.colours, signed=scale.signed, dark=self.app.current_theme.dark)
        width = 2 if self.size.width >= _ROOMY else 1
        down = [level_code(-level) for level in range(LEVELS, 0, -1)] if scale.signed else []
        up = [level_code(level) for level in range(1, LEVELS + 1)]
        for codes, words in (
            ([UNSCORED], " not scored  "),
            ([FAILED], " failed  "),
            ([*down, ZERO], " 0 " if down else " ≈0  "),
            (up, self._top()),
        ):
            yield from ((palette.text(code, width), palette.cells[code].style) for code in codes)
            yield words, _DIM

    def _top(self) -> str:
        scale = self._view.rows.scale
        top = "highest" if scale.mode == "rank" else f"{scale.limit:g}{'+' if self._clips() else ''} nats"
        return f" {'depends more, ' * isinstance(self._view.rows.grid, Changes)}{top}, {scale.mode}"

    def _clips(self) -> bool:
        return self._view.rows.scale.clips(self._view.rows.peak())

    def _words(self) -> Iterator[str]:
        rows = self._view.rows
        if hidden := rows.shown.words:
            yield f"{hidden}: {key_of(self.app, 'threads')}"
        if rows.sort != "appearance":
            yield _SORTED[rows.sort]
        if self._clips():
            yield f"peak {rows.peak():.1f}: {key_of(self.app, 'rescale')} fits"
        if rows.filter:
            yield f"{len(rows.order)} of {len(rows.versions)} match {rows.filter!r}"
        if zoomed := _ZOOMED[self._view.zoom]:
            yield zoomed
        if rows.sort == "appearance":
            yield _SORTED[rows.sort]
