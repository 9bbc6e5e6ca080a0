"""The memories x responses grid of one measure: a view of the table of ablations, with the status of each row.

Values are signed divergences in nats, one `array("d")` per row; NaN means *not scored*. A cell whose response comes
before the memory, or whose prompt does not contain it, is *inherited*: exactly 0, since it cannot depend on it.
Positions in a grid refer to its current layout only.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import sub
from typing import Literal, TypeAlias

from memscope.scoring.layout import Column, Layout, Row, select
from memscope.scoring.table import ALL_LEFT_OUT, NOTHING_LEFT_OUT, Ablation, AblationTable, only, without

__all__ = ["MEASURES", "SET_ABOVE", "CellSource", "Grid", "Measure", "RowStatus", "baseline_ablation", "row_ablation"]

RowStatus: TypeAlias = Literal["waiting", "running", "done", "failed"]
Measure: TypeAlias = Literal["necessity", "sufficiency"]
MEASURES: tuple[Measure, ...] = ("necessity", "sufficiency")
"""In the order in which the screen goes through them."""
CellSource: TypeAlias = Literal["measured", "inherited", "unknown"]
"""How a cell got its value."""

SET_ABOVE = 0.01
"""A cell counts as *set* when its divergence is above this many nats."""


def baseline_ablation(measure: Measure) -> Ablation:
    """Return the baseline ablation of a measure, with which its rows are compared."""
    return NOTHING_LEFT_OUT if measure == "necessity" else ALL_LEFT_OUT


def row_ablation(measure: Measure, key: str) -> Ablation:
    """Return the ablation that a measure scores for the row of one memory."""
    return without(key) if measure == "necessity" else only(key)


class Grid:
    """The values of one measure for one layout, computed from a table of ablations.

    Attributes:
        measure: The measure.
        layout: The rows and columns.
        table: The table that the values are computed from.
        values: `values[i][j]` in signed nats; NaN if not scored.
        status: One status per row.
        errors: Error messages of failed rows, by memory key.
        logprob: Log-probability of each response with every memory present, in nats; NaN until scored.
        stripped: Divergence of each response with all memories left out, signed nats; NaN until scored.
        noise_floor: Differences of at most this many nats are indistinguishable from zero; None until measured.
        noise_floor_responses: How many responses it was measured for, on a sample of them.
    """

    __slots__ = (
        "_running",
        "errors",
        "layout",
        "logprob",
        "measure",
        "noise_floor",
        "noise_floor_responses",
        "status",
        "stripped",
        "table",
        "values",
    )

    def __init__(self, layout: Layout, table: AblationTable, measure: Measure = "necessity") -> None:
        self.measure: Measure = measure
        self.table = table
        self.errors: dict[str, str] = {}
        self.noise_floor: float | None = None
        self.noise_floor_responses = 0
        self._running: set[str] = set()
        self.set_layout(layout)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The memories in order of first appearance."""
        return self.layout.rows

    @property
    def columns(self) -> tuple[Column, ...]:
        """The responses in order."""
        return self.layout.columns

    def set_layout(self, layout: Layout) -> None:
        """Use another layout; cells that the table knows keep their values."""
        self.layout = layout
        self.refresh()

    def set_table(self, table: AblationTable) -> None:
        """Use another table, for other weights; errors and noise floor are reset."""
        self.table = table
        self.errors, self.noise_floor, self.noise_floor_responses = {}, None, 0
        self._running.clear()
        self.refresh()

    def with_layout(self, layout: Layout) -> Grid:
        """Return a copy of this grid with another layout."""
        grid = Grid(layout, self.table, self.measure)
        grid.noise_floor, grid.noise_floor_responses = self.noise_floor, self.noise_floor_responses
        grid.errors = {key: error for key, error in self.errors.items() if layout.row_index(key) is not None}
        grid.refresh()
        return grid

    def refresh(self) -> None:
        """Recompute everything from the table."""
        base = self._base()
        self.values = [self._divergences(row, base) for row in self.rows]
        self.status: list[RowStatus] = [self._status(place) for place in range(len(self.rows))]
        self.refresh_responses()

    def refresh_responses(self) -> None:
        """Recompute the values per response: `logprob` and `stripped`."""
        responses = self.layout.responses
        self.logprob = self.table.logprobs(NOTHING_LEFT_OUT, responses)
        self.stripped = array("d", map(sub, self.logprob, self.table.logprobs(ALL_LEFT_OUT, responses)))

    def refresh_row(self, key: str) -> None:
        """Recompute one row from the table; a complete row loses its error."""
        if (place := self.layout.row_index(key)) is not None:
            self.values[place] = self._divergences(self.rows[place], self._base())
            if not any(map(math.isnan, self.values[place])):
                self.errors.pop(key, None)
            self.status[place] = self._status(place)

    def start_row(self, key: str) -> None:
        """Mark a row as being scored."""
        self._running.add(key)
        self._update_status(key)

    def stop_row(self, key: str, error: str | None = None) -> None:
        """Mark a row as no longer being scored, with the error if it failed; its values are kept."""
        self._running.discard(key)
        if error is not None:
            self.errors[key] = error
        self._update_status(key)

    @property
    def blank(self) -> bool:
        """Whether nothing was scored."""
        return not len(self.table)

    def cell_source(self, row: int, column: int) -> CellSource:
        """Return how a cell got its value."""
        if not self.rows[row].affects(column):
            return "inherited"
        return "unknown" if math.isnan(self.values[row][column]) else "measured"

    def contributions(self, row: int) -> list[float]:
        """Return what each cell of a row contributes to sums, in nats: its clamped divergence, 0 if not scored."""
        return _clamped(self.values[row])

    def stripped_contributions(self) -> list[float]:
        """Return each response's contribution to the all-left-out sum, in nats."""
        return _clamped(self.stripped)

    def importance(self, row: int) -> float:
        """Return the row sum of the clamped divergences over scored cells, in nats."""
        return math.fsum(self.contributions(row))

    def dependence(self, column: int) -> float:
        """Return the column sum of the clamped divergences over scored cells, in nats."""
        return math.fsum(values[column] for values in self.values if values[column] > 0)

    def maximum(self, row: int) -> float:
        """Return the largest divergence of a row in nats; 0 if none is positive."""
        return max((v for v in self.values[row] if v > 0), default=0.0)

    def cells_set(self, row: int) -> int:
        """Return how many cells of a row are above `SET_ABOVE`."""
        return sum(1 for v in self.values[row] if v > SET_ABOVE)

    def cited(self, column: int) -> tuple[tuple[str, float | None], ...]:
        """Return the memories that a response itself cites.

        Returns:
            Each key with its divergence for the response in signed nats: NaN if it was not scored, None if the memory
            was not in the response's prompt.
        """
        return tuple((key, self._cited_value(key, column)) for key in self.columns[column].cited)

    def _cited_value(self, key: str, column: int) -> float | None:
        row = self.layout.row_index(key)
        return self.values[row][column] if row is not None and self.rows[row].affects(column) else None

    def scored(self, row: int, column: int) -> bool:
        """Return whether a cell has been scored."""
        return not math.isnan(self.values[row][column])

    def keys_with(self, status: RowStatus) -> list[str]:
        """Return the keys of the rows with this status."""
        return [row.key for row, has in zip(self.rows, self.status, strict=True) if has == status]

    def _base(self) -> array[float]:
        return self.table.logprobs(baseline_ablation(self.measure), self.layout.responses)

    def _divergences(self, row: Row, base: array[float]) -> array[float]:
        columns = row.columns
        affected = select(self.layout.responses, columns)
        less = self.table.logprobs(row_ablation(self.measure, row.key), affected)
        values = array("d", [0.0]) * len(base)
        if isinstance(columns, range):
            values[columns.start : columns.stop] = self._difference(base[columns.start : columns.stop], less)
            return values
        base = array("d", [base[column] for column in columns])
        for column, value in zip(columns, self._difference(base, less), strict=True):
            values[column] = value
        return values

    def _difference(self, base: array[float], less: array[float]) -> array[float]:
        pair = (base, less) if self.measure == "necessity" else (less, base)
        return array("d", map(sub, *pair))

    def _update_status(self, key: str) -> None:
        if (place := self.layout.row_index(key)) is not None:
            self.status[place] = self._status(place)

    def _status(self, place: int) -> RowStatus:
        key = self.rows[place].key
        if key in self._running:
            return "running"
        if key in self.errors:
            return "failed"
        return "waiting" if any(map(math.isnan, self.values[place])) else "done"


def _clamped(values: Sequence[float]) -> list[float]:
    return [value if value > 0 else 0.0 for value in values]  # a comparison with NaN is false
