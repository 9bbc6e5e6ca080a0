"""The rows of a grid as shown by the heatmap: fine bytes and codes of each row, sums, the row order, shown responses.

The data of a row is computed on first use and again when its version changes.
"""

from __future__ import annotations

from array import array
from math import fsum, isnan, nan
from operator import add, sub
from typing import Literal, TypeAlias

import msgspec

from memscope.scoring.grid import Grid, RowStatus
from memscope.ui.heatmap.shown import ShownColumns, ThreadChoice
from memscope.ui.scale import Scale, fine_bytes

__all__ = ["SORTS", "GridRows", "Sort"]

Sort: TypeAlias = Literal["appearance", "importance", "maximum", "key"]
SORTS: tuple[Sort, ...] = ("appearance", "importance", "maximum", "key")


class _RowSummary(msgspec.Struct):
    """The data of one row at one version."""

    fine: bytes
    importance: float
    maximum: float
    lowest: float | None = None
    codes: bytes = b""
    look: int = -1


class GridRows:
    """The rows of one grid as the heatmap draws them.

    Attributes:
        grid: The grid.
        scale: The scale from nats to codes; set it with `rescale`.
        order: Row indices in displayed order, from top to bottom.
        versions: One number per row, which changes with everything that is drawn of it.
        shown: Which responses are shown; everything here is about them.
        dependence: Column sums of the clamped divergences, or of the changes, in nats.
        look: Changes when all cells look different.
    """

    def __init__(self, grid: Grid, scale: Scale | None = None, threads: ThreadChoice = "main") -> None:
        self.grid = grid
        self.scale = scale or Scale()
        self.sort: Sort = "appearance"
        self.filter = ""
        self.look = 0
        self.show_threads(threads)

    def show_threads(self, choice: ThreadChoice) -> None:
        """Choose the responses to show, and compute everything for them."""
        self.shown = ShownColumns(self.grid.columns, choice)
        self.columns = len(self.shown)
        count = len(self.grid.rows)
        self.versions = [0] * count
        self._known: list[_RowSummary | None] = [None] * count
        self._counted: list[array[float] | None] = [None] * count
        self.dependence = array("d", [0.0]) * self.columns
        for row in () if self.grid.blank else range(count):
            self._count(row)
        self._rebuild_table()
        self.arrange()

    def changed(self, row: int) -> None:
        """Update a row whose values or status changed."""
        self.versions[row] += 1
        self._known[row] = None
        self._count(row)

    def rescale(self, scale: Scale) -> None:
        """Use another scale."""
        self.scale = scale
        self._rebuild_table()

    def arrange(self, sort: Sort | None = None, text: str | None = None) -> None:
        """Sort and filter the rows; None keeps the current setting. The order is fixed until the next call."""
        self.sort = sort or self.sort
        self.filter = self.filter if text is None else text
        shown = [row for row in range(len(self.grid.rows)) if self._matches(row)]
        if self.sort == "key":
            shown.sort(key=lambda row: self.grid.rows[row].key.casefold())
        elif self.sort != "appearance":
            size = self.importance if self.sort == "importance" else self.maximum
            shown.sort(key=lambda row: abs(size(row)), reverse=True)
        self.order = shown

    def fine(self, row: int) -> bytes:
        """Return the fine bytes of a row."""
        return self._row(row).fine

    def codes(self, row: int) -> bytes:
        """Return the codes of a row's cells."""
        known = self._row(row)
        if known.look != self.look:
            known.codes, known.look = known.fine.translate(self._table), self.look
        return known.codes

    def stripped_codes(self) -> bytes:
        """Return the codes of the responses with all memories left out."""
        stripped = self._select(self.grid.stripped)
        return fine_bytes(stripped, range(self.columns), failed=False).translate(self._table)

    def importance(self, row: int) -> float:
        """Return the row sum in nats."""
        return self._row(row).importance

    def maximum(self, row: int) -> float:
        """Return the largest divergence of a row in nats."""
        return self._row(row).maximum

    def lowest(self, row: int) -> float:
        """Return the lowest divergence of a row in nats; 0 when none is negative."""
        known = self._row(row)
        if known.lowest is None:
            known.lowest = min((v for v in self._select(self.grid.values[row]) if v < 0), default=0.0)
        return known.lowest

    def peak(self) -> float:
        """Return the largest divergence in nats, including the magnitude of negative ones if they are shown."""
        peak = 0.0 if self.grid.blank else max(map(self.maximum, range(len(self.versions))), default=0.0)
        if self.scale.signed:
            peak = max(peak, -min(map(self.lowest, range(len(self.versions))), default=0.0))
        return max([peak, *map(abs, self._select(array("d", self.grid.stripped_contributions())))])

    def stripped_sum(self) -> float | None:
        """Return the all-left-out sum in nats; None if nothing of it is scored."""
        if all(map(isnan, self._select(self.grid.stripped))):
            return None
        return fsum(self._select(array("d", self.grid.stripped_contributions())))

    def status(self, row: int) -> RowStatus:
        """Return the status of a row."""
        return self.grid.status[row]

    def _row(self, row: int) -> _RowSummary:
        known = self._known[row]
        if known is None:
            failed = self.grid.status[row] == "failed"
            fine = fine_bytes(self.grid.values[row], self.grid.rows[row].columns, failed=failed)
            if self.shown.hidden:
                fine = bytes([fine[position] for position in self.shown.positions])
            counted = self._counted[row]
            parts = self._contributions(row) if counted is None else counted
            largest = max(map(abs, parts), default=0.0)
            known = self._known[row] = _RowSummary(fine, fsum(parts), largest)
        return known

    def _select(self, values: array[float]) -> array[float]:
        """Return the values of the shown responses."""
        return array("d", [values[position] for position in self.shown.positions]) if self.shown.hidden else values

    def _contributions(self, row: int) -> array[float]:
        return self._select(array("d", self.grid.contributions(row)))

    def _count(self, row: int) -> None:
        """Update the column sums incrementally, since summing all rows for each change would be too slow."""
        sums, parts = self.dependence, self._contributions(row)
        if (before := self._counted[row]) is not None:
            sums = array("d", map(sub, sums, before))
        self.dependence = array("d", map(add, sums, parts))
        self._counted[row] = parts

    def _rebuild_table(self) -> None:
        histogram = self._histogram() if self.scale.mode == "rank" else ()
        self._table = self.scale.table(histogram)
        self.look += 1

    def _histogram(self) -> list[int]:
        total = b"".join(map(self.fine, range(len(self.versions))))
        return [total.count(code) for code in range(256)]

    def _matches(self, row: int) -> bool:
        wanted = self.filter.casefold()
        memory = self.grid.rows[row]
        return not wanted or wanted in memory.key.casefold() or wanted in memory.text.casefold()

    def value(self, row: int, column: int) -> float:
        """Return the value of a cell in signed nats; NaN if there is none."""
        if 0 <= row < len(self.grid.values) and 0 <= column < self.columns:
            return self.grid.values[row][self.shown.positions[column]]
        return nan
