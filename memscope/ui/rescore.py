"""Choose what to score again: the rest, failed rows, the row or column under the cursor, or everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from memscope.scoring.grid import Grid, Measure
from memscope.terminal.safe import shorten
from memscope.ui.dialogs import Choose
from memscope.ui.heatmap.view import HeatmapView
from memscope.ui.score_queue import ScoreQueue, ScoreRequest
from memscope.ui.shell import AppShell

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["Rescoring", "rescoring_choices"]


def rescoring_choices(grid: Grid, key: str | None, response: str | None) -> dict[str, tuple[str, ScoreRequest]]:
    """Return the choices of what to score again: label and request by name.

    Args:
        grid: The displayed grid.
        key: The memory under the cursor; None if no row is shown.
        response: The id of the response under the cursor; None if there is none.
    """
    return {name: (words, request) for name, words, request in _choices(grid, key, response)}


def _choices(grid: Grid, key: str | None, response: str | None) -> Iterator[tuple[str, str, ScoreRequest]]:
    measure = grid.measure
    if waiting := grid.keys_with("waiting"):
        yield "rest", f"Continue: {len(waiting)} memories that are not scored yet", ScoreRequest(measure, keys=waiting)
    if failed := grid.keys_with("failed"):
        yield "failed", f"{len(failed)} memories that failed", ScoreRequest(measure, keys=failed)
    if key is not None:
        yield "row", f"This memory: {shorten(key, 44)}", ScoreRequest(measure, keys=(key,), fresh=True)
    if response is not None:
        number = grid.layout.column_index(response)
        yield "column", f"This response: {number}", ScoreRequest(measure, responses=(response,), fresh=True)
    yield "all", "Everything, ignoring stored scores", ScoreRequest(measure, fresh=True)


class Rescoring:
    """Asks what to score again and whether to restart the scorer, and adds the request to the queue."""

    def __init__(self, app: AppShell, run: Run, queue: ScoreQueue, view: HeatmapView) -> None:
        self._app, self._run, self._queue, self._view = app, run, queue, view

    def ask(self, measure: Measure) -> None:
        """Ask what to score again, with choices for the cell under the cursor."""
        choices = rescoring_choices(self._run.grids[measure], self._view.key, self._view.response)

        def chosen(answer: str | None) -> None:
            if answer is not None:
                self._queue.add(choices[answer][1])

        self._app.push_screen(Choose("Score again", [(name, words) for name, (words, _) in choices.items()]), chosen)

    def ask_to_restart(self, measure: Measure, *, unsaved_weights: bool) -> None:
        """Restart the scorer and continue; ask first if it is running."""
        if not self._run.is_open or self._run.state == "failed":
            self._restart(measure)
            return
        lost = " Its trained weights are not saved." if unsaved_weights else ""
        self._app.push_screen(
            Choose(f"The scorer is running.{lost}", (("stay", "Keep it"), ("restart", "Restart it"))),
            lambda answer: self._restart(measure) if answer == "restart" else None,
        )

    def _restart(self, measure: Measure) -> None:
        self._queue.stop()
        self._queue.add(ScoreRequest(measure, restart=True))
