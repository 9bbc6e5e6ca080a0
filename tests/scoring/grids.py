"""Grids with chosen numbers, for tests that need no scorer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from memscope.scoring.grid import Grid, Measure, baseline_ablation, row_ablation
from memscope.scoring.layout import Column, Layout, Row
from memscope.scoring.table import NOTHING_LEFT_OUT, AblationTable

__all__ = ["columns", "filled", "set_row"]


def columns(count: int) -> tuple[Column, ...]:
    """Return responses r0, r1, … with a text each."""
    return tuple(Column(f"r{n}", n, n, f"text {n}", f"text {n}", None) for n in range(count))


def filled(rows: Iterable[Row], columns: Sequence[Column], values: Sequence[Sequence[float]] = ()) -> Grid:
    """Return a grid of necessity whose first rows have these divergences in nats; NaN is not scored."""
    grid = Grid(Layout(rows, columns), AblationTable())
    grid.table.put(NOTHING_LEFT_OUT, {column.id: 0.0 for column in columns})
    for row, divergences in zip(grid.rows, values, strict=False):
        set_row(grid, row.key, divergences)
    grid.refresh()
    return grid


def set_row(grid: Grid, key: str, divergences: Sequence[float]) -> None:
    """Give a row these divergences in nats."""
    measure: Measure = grid.measure
    base = grid.table.logprobs(baseline_ablation(measure), grid.layout.responses)
    sign = -1.0 if measure == "necessity" else 1.0
    scores = {
        response: start + sign * nats
        for response, start, nats in zip(grid.layout.responses, base, divergences, strict=True)
        if not math.isnan(nats)
    }
    grid.table.put(row_ablation(measure, key), scores)
    grid.refresh_row(key)
