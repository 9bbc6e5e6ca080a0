"""What changed between two scorings of the same session: a grid of differences."""

from __future__ import annotations

from array import array

from memscope.scoring.grid import Grid

__all__ = ["delta_grid"]


def delta_grid(before: Grid, after: Grid) -> Grid:
    """Return `after - before` for every cell, in signed nats; NaN where either is not scored.

    Negative means that the response depends less on the memory than it did. Both grids have the same shape.
    """
    delta = Grid(after.rows, after.columns)
    delta.noise_floor = after.noise_floor
    for index, (old, new) in enumerate(zip(before.values, after.values, strict=True)):
        delta.values[index] = array("d", (b - a for a, b in zip(old, new, strict=True)))
        delta.status[index] = after.status[index]
    delta.logprob = array("d", (b - a for a, b in zip(before.logprob, after.logprob, strict=True)))
    delta.stripped = array("d", (b - a for a, b in zip(before.stripped, after.stripped, strict=True)))
    return delta
