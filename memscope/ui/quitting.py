"""The question before memscope quits, asked only where something would be lost or go on alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memscope.scoring.events import Progress
from memscope.ui.candidates.tasks import CandidateTasks
from memscope.ui.dialogs import Choose

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["RUNNING", "QuitQuestion", "quit_warning"]

RUNNING = ("starting", "scoring", "paused")
"""States of a run in which it has something to do."""


class QuitQuestion(Choose):
    """Closes with "quit" or "stay"; "stay" is selected at first where quitting loses something."""

    def __init__(self, warning: str, *, loses: bool) -> None:
        answers = (("quit", "Quit"), ("stay", "Stay"))
        super().__init__(f"{warning} Quit?", answers[::-1] if loses else answers)


def quit_warning(run: Run, tasks: CandidateTasks, progress: Progress | None) -> str | None:
    """Return what is still running or kept nowhere, as a sentence; None where nothing would be lost."""
    if run.state in RUNNING:
        done = f"{progress.done} of {progress.total} rows" if progress else "the scorer"
        return f"Still {run.state} ({done}). What is done is remembered."
    if tasks.busy:
        embedded = run.scorer is not None and run.scorer.kind == "embedded"
        return "A training job runs" + (" and ends with its scorer." if embedded else ", and goes on without memscope.")
    if tasks.unsaved_weights:
        return "The trained weights end with memscope; memscope serve --save-to keeps them."
    return None
