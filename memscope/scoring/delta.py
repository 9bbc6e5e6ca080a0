"""What changed between two scorings of the same session: a grid of differences."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from math import isnan

from memscope.scoring.grid import Grid

__all__ = ["Changes"]


class Changes(Grid):
    """`after - before` for every cell, in signed nats; NaN where either is not scored.

    Negative means that the response depends less on the memory than it did. What a cell adds to sums is the difference
    of its clamped divergences, so that a sum here is the sum after minus the sum before.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, before: Grid, after: Grid) -> None:
        """Take two grids of one measure; the layout of `after` counts."""
        self._before, self._after = before.with_layout(after.layout), after
        super().__init__(after.layout, after.table, after.measure)

    def refresh(self) -> None:
        """Work out everything from the two grids."""
        self.values, self.status = [array("d")] * len(self.rows), list(self._after.status)
        self.refresh_rows(range(len(self.rows)))

    def refresh_rows(self, rows: Iterable[int]) -> None:
        """Work out these rows again, and what is known of whole responses."""
        before, after = self._before, self._after
        for row in rows:
            self.values[row] = _minus(after.values[row], before.values[row])
            self.status[row] = after.status[row]
        self.errors = after.errors
        self.noise_floor = after.noise_floor
        self.logprob = _minus(after.logprob, before.logprob)
        self.stripped = _minus(after.stripped, before.stripped)

    def contributions(self, row: int) -> list[float]:
        """Return the change of what each cell of a row adds to sums, in nats."""
        return _changes_of_contributions(
            self.values[row], self._after.contributions(row), self._before.contributions(row)
        )

    def stripped_contributions(self) -> list[float]:
        """Return the change of what each response adds to the sum of the line of all memories left out, in nats."""
        return _changes_of_contributions(
            self.stripped, self._after.stripped_contributions(), self._before.stripped_contributions()
        )


def _minus(after: Sequence[float], before: Sequence[float]) -> array[float]:
    return array("d", (b - a for a, b in zip(before, after, strict=True)))


def _changes_of_contributions(change: Sequence[float], after: Sequence[float], before: Sequence[float]) -> list[float]:
    return [0.0 if isnan(c) else b - a for c, a, b in zip(change, before, after, strict=True)]
