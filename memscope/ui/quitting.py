"""The confirmation before quitting, shown only if something is running or would be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memscope.scoring.events import Progress
from memscope.ui.candidates.tasks import CandidateTasks
from memscope.ui.dialogs import Choose

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["RUNNING", "QuitQuestion", "quit_warning"]

RUNNING = ("starting", "scoring", "paused")
"""States in which a run is active."""


class QuitQuestion(Choose):
    """A dialog that closes with "quit" or "stay"; "stay" is preselected if something would be lost."""

    def __init__(self, warning: str, *, loses: bool) -> None:
        answers = (("quit", "Quit"), ("stay", "Stay"))
        super().__init__(f"{warning} Quit?", answers[::-1] if loses else answers)


def quit_warning(run: Run, tasks: CandidateTasks, progress: Progress | None, *, following: bool) -> str | None:
    """Return a warning about running work or unsaved weights; None if nothing would be lost.

    While a session is followed, scoring goes on and on, and is nothing to wait for.
    """
    if run.state in RUNNING and not following:
        done = f"{progress.done} of {progress.total} rows" if progress else "the scorer"
        return f"Still {run.state} ({done}). Finished rows are saved."
    if tasks.busy:
        embedded = run.scorer is not None and run.scorer.kind == "embedded"
        return "A training job is running" + (" and will be lost." if embedded else " and will continue on the server.")
    if tasks.unsaved_weights:
        return "The trained weights will be lost (not saved); memscope serve --save-to keeps them."
    return None
