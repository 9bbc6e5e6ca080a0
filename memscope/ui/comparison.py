"""Switches the map between current values and changes since the weights changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from memscope.scoring.delta import Changes
from memscope.scoring.grid import Measure
from memscope.ui.cell import CellWatch
from memscope.ui.heatmap.pane import HeatmapPane
from memscope.ui.title import Title

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["Comparison"]


class Comparison:
    """Chooses the grid that the heatmap shows, and keeps title and detail consistent with it.

    Attributes:
        on: Whether changes are shown.
    """

    def __init__(self, run: Run, heatmap: HeatmapPane, title: Title, cell: CellWatch) -> None:
        self._run, self._heatmap, self._title, self._cell = run, heatmap, title, cell
        self._changes: Changes | None = None
        self.on = False

    def possible(self, measure: Measure) -> bool:
        """Whether there is something to compare with."""
        return measure in self._run.earlier_grids

    def switch(self, measure: Measure, on: bool) -> None:
        """Show changes or current values."""
        self.on = self._title.delta = self._cell.delta = on
        self._heatmap.show_signed(on)
        self.show(measure)
        self._cell.moved(measure)

    def show(self, measure: Measure) -> None:
        """Show the grid of a measure or its changes."""
        now = self._run.grids[measure]
        self._changes = Changes(self._run.earlier_grids[measure], now) if self.on else None
        self._heatmap.view.show_grid(self._changes or now)

    def refresh_rows(self, keys: Collection[str]) -> None:
        """Redraw the rows of these memories and the footer."""
        layout = self._heatmap.view.rows.grid.layout
        rows = {row for key in keys if (row := layout.row_index(key)) is not None}
        if self._changes is not None:
            self._changes.refresh_rows(rows)
        if rows:
            self._heatmap.view.rows_changed(rows)
        else:
            self._heatmap.view.footers_changed()
