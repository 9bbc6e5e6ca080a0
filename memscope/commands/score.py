"""`memscope score`: score the full matrix and print it."""

from __future__ import annotations

import shutil

from memscope.commands.interrupt import run_to_end
from memscope.commands.opening import load_scorable_session, open_run
from memscope.config import Config
from memscope.scoring.grid import Measure
from memscope.scoring.report import matrix_csv, matrix_table
from memscope.session.nodes import Session
from memscope.terminal.printing import print_csv, print_json, print_text
from memscope.terminal.safe import fit, visible

__all__ = ["score"]


def score(path: str | None, config: Config, output: str, measure: Measure, fresh: bool) -> int:
    """Print the matrix as JSON, CSV or a table; return 1 if any row failed.

    Raises:
        MemscopeError: The session cannot be scored.
    """
    return run_to_end(_score(load_scorable_session(path, config), config, output, measure, fresh))


async def _score(session: Session, config: Config, output: str, measure: Measure, fresh: bool) -> int:
    async with open_run(session, config) as run:
        await run.matrix(measure, fresh=fresh)
        grid = run.grids[measure]
        report = run.report(measure)
    if output == "json":
        print_json(report)
    elif output == "csv":
        print_csv(matrix_csv(report))
    else:
        print_text(visible(matrix_table(report, shutil.get_terminal_size((120, 48)).columns, fit)))
    return 1 if "failed" in grid.status else 0
