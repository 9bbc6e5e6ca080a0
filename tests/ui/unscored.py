"""A program for a pseudo-terminal: the screen over the demo session, unscored; `--crash` lets one key raise."""

from __future__ import annotations

import os
import sys

from memscope import cli
from memscope.commands import screen as command
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.ui.app import MemscopeApp, run_app
from memscope.ui.options import UiOptions


def _unscored(run: Run, following: Following | None = None) -> int:
    return run_app(run, UiOptions(run.config.state_folder(), score=False), following)


def _crash(app: MemscopeApp) -> None:
    api_key = os.environ["MEMSCOPE_API_KEY"]
    raise LookupError("something nobody expected" if api_key else "")


if __name__ == "__main__":
    setattr(command, "run_app", _unscored)  # noqa: B010
    if "--crash" in sys.argv:
        sys.argv.remove("--crash")
        setattr(MemscopeApp, "action_sort", _crash)  # noqa: B010
        setattr(MemscopeApp, "action_pause", _crash)  # noqa: B010
    sys.exit(cli.main())
