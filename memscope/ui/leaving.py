"""What leaving would end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memscope.scoring.events import Progress
from memscope.ui.candidates.tuner import Tuner

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["RUNNING", "what_would_end"]

RUNNING = ("starting", "scoring", "paused")
"""States of a run in which it has something to do."""


def what_would_end(run: Run, tuner: Tuner, progress: Progress | None) -> str | None:
    """Say what is running or not kept anywhere; None where nothing would be lost."""
    if run.state in RUNNING:
        done = f"{progress.done} of {progress.total} rows" if progress else "the scorer"
        return f"Still {run.state} ({done}). What is done is remembered."
    if tuner.busy:
        embedded = run.scorer is not None and run.scorer.kind == "embedded"
        return "A training job runs" + (" and ends with its scorer." if embedded else ", and goes on without memscope.")
    if tuner.fleeting:
        return "The trained weights end with memscope; memscope serve --save-to keeps them."
    return None
