"""What changed between two scorings of the same session: a grid of differences."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from memscope.scoring.grid import Grid

__all__ = ["delta_grid", "renew"]


def delta_grid(before: Grid, after: Grid) -> Grid:
    """Return `after - before` for every cell, in signed nats; NaN where either is not scored.

    Negative means that the response depends less on the memory than it did. Both grids have the same shape.
    """
    delta = Grid(after.rows, after.columns)
    renew(delta, before, after, range(len(after.rows)))
    return delta


def renew(delta: Grid, before: Grid, after: Grid, rows: Iterable[int]) -> None:
    """Work out these rows of a grid of differences again, and what it says of whole responses."""
    for row in rows:
        delta.values[row] = _minus(after.values[row], before.values[row])
        delta.status[row] = after.status[row]
        if (error := after.errors.get(row)) is not None:
            delta.errors[row] = error
    delta.noise_floor = after.noise_floor
    delta.logprob = _minus(after.logprob, before.logprob)
    delta.stripped = _minus(after.stripped, before.stripped)


def _minus(after: Sequence[float], before: Sequence[float]) -> array[float]:
    return array("d", (b - a for a, b in zip(before, after, strict=True)))
