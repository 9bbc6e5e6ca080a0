"""What can be scored again from the cell under the cursor."""

from __future__ import annotations

from collections.abc import Iterator

from memscope.scoring.grid import Grid, Measure
from memscope.terminal.safe import shorten
from memscope.ui.score_queue import Wish

__all__ = ["answers", "wish_for"]


def answers(grid: Grid, memory: int | None, column: int) -> list[tuple[str, str]]:
    """Return pairs of (answer, words) for what makes sense now."""
    return list(_answers(grid, memory, column))


def _answers(grid: Grid, memory: int | None, column: int) -> Iterator[tuple[str, str]]:
    failed = grid.status.count("failed")
    waiting = grid.status.count("waiting")
    if waiting:
        yield "rest", f"Go on: {waiting} memories that are not scored yet"
    if failed:
        yield "failed", f"{failed} memories that failed"
    if memory is not None:
        yield "row", f"This memory: {shorten(grid.rows[memory].key, 44)}"
    if grid.columns:
        yield "column", f"This response: {column}"
    yield "all", "Everything, whether remembered or not"


def wish_for(answer: str, measure: Measure, grid: Grid, memory: int | None, column: int) -> Wish:
    """Return the wish that an answer stands for."""
    if answer == "row" and memory is not None:
        return Wish(measure, keys=(grid.rows[memory].key,), fresh=True)
    if answer == "column":
        return Wish(measure, responses=(grid.columns[column].id,), fresh=True)
    if answer in ("failed", "rest"):
        return Wish(measure, keys=grid.keys_with("failed" if answer == "failed" else "waiting"))
    return Wish(measure, fresh=True)
