"""The grid on the screen as a file: the same report that `memscope score` prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from memscope.errors import UsageError
from memscope.scoring.grid import Measure
from memscope.store.private import open_private

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["proposed_name", "write_grid"]


def proposed_name(session_id: str, measure: Measure) -> str:
    """Return a file name made of letters that every file system takes."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", session_id).strip("-")[:40] or "session"
    return f"memscope-{safe}-{measure}.csv"


def write_grid(run: Run, measure: Measure, path: Path) -> str:
    """Write a grid as CSV or JSON, by the name's ending, and return a line that says so. Only the owner can read it.

    Raises:
        UsageError: There is no scorer yet, the ending is another, or the file exists or cannot be written.
    """
    # Here and not above: the report's helpers are not needed for the first paint.
    import msgspec

    from memscope.scoring.report import matrix_csv

    report = run.report(measure)
    if path.suffix == ".json":
        text = msgspec.json.encode(report).decode() + "\n"
    elif path.suffix == ".csv":
        text = matrix_csv(report)
    else:
        raise UsageError(f"{path}: the name must end in .csv or .json")
    try:
        with open(path, "x", encoding="utf-8", opener=open_private) as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; choose another name") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    return f"wrote {path.resolve()}"
