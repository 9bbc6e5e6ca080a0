"""The differences between two scorings of the same session, as a grid."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from math import isnan

from memscope.scoring.grid import Grid

__all__ = ["Changes"]


class Changes(Grid):
    """`after - before` for every cell, in signed nats; NaN if either is not scored.

    A negative value means that the response depends less on the memory than before. A cell contributes the difference
    of its clamped divergences to sums, so that a sum here is the sum after minus the sum before.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, before: Grid, after: Grid) -> None:
        """Compare two grids of one measure, using the layout of `after`."""
        self._before, self._after = before.with_layout(after.layout), after
        super().__init__(after.layout, after.table, after.measure)

    def refresh(self) -> None:
        """Recompute everything from the two grids."""
        self.values, self.status = [array("d")] * len(self.rows), list(self._after.status)
        self.refresh_rows(range(len(self.rows)))

    def refresh_rows(self, rows: Iterable[int]) -> None:
        """Recompute these rows and the values per response."""
        before, after = self._before, self._after
        for row in rows:
            self.values[row] = _minus(after.values[row], before.values[row])
            self.status[row] = after.status[row]
        self.errors = after.errors
        self.noise_floor = after.noise_floor
        self.logprob = _minus(after.logprob, before.logprob)
        self.stripped = _minus(after.stripped, before.stripped)

    def contributions(self, row: int) -> list[float]:
        """Return the change in what each cell of a row contributes to sums, in nats."""
        return _changes_of_contributions(
            self.values[row], self._after.contributions(row), self._before.contributions(row)
        )

    def stripped_contributions(self) -> list[float]:
        """Return the change in each response's contribution to the all-left-out sum, in nats."""
        return _changes_of_contributions(
            self.stripped, self._after.stripped_contributions(), self._before.stripped_contributions()
        )


def _minus(after: Sequence[float], before: Sequence[float]) -> array[float]:
    return array("d", (b - a for a, b in zip(before, after, strict=True)))


def _changes_of_contributions(change: Sequence[float], after: Sequence[float], before: Sequence[float]) -> list[float]:
    return [0.0 if isnan(c) else b - a for c, a, b in zip(change, before, after, strict=True)]
