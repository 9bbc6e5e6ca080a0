"""Export the grid on the screen to a file, as the report that `memscope score` prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from memscope.errors import MemscopeError, UsageError
from memscope.scoring.grid import Measure
from memscope.store.private import open_private
from memscope.ui.dialogs import Ask
from memscope.ui.shell import AppShell

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["Export", "proposed_name", "write_grid"]


class Export:
    """Asks for a file name and writes the grid."""

    def __init__(self, app: AppShell, run: Run) -> None:
        self._app, self._run = app, run

    def ask(self, measure: Measure, *, changes: bool) -> None:
        """Ask for a file name; `changes` means that the screen shows changes, which are not exported."""
        what = "Write the current values (not the changes) to" if changes else "Write the grid to"
        proposal = proposed_name(self._run.session.header.id, measure)
        self._app.push_screen(Ask(f"{what} (.csv or .json)", proposal), lambda name: self.write(measure, name))

    def write(self, measure: Measure, name: str | None) -> None:
        """Write the grid and report the path; None writes nothing."""
        if name is None:
            return
        try:
            self._app.say(write_grid(self._run, measure, Path(name).expanduser()))
        except MemscopeError as error:
            self._app.say(str(error), warn=True)


def proposed_name(session_id: str, measure: Measure) -> str:
    """Return a file name of characters that every file system accepts."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", session_id).strip("-")[:40] or "session"
    return f"memscope-{safe}-{measure}.csv"


def write_grid(run: Run, measure: Measure, path: Path) -> str:
    """Write a grid as CSV or JSON, by file extension, readable only by its owner, and return a message.

    Raises:
        UsageError: There is no scorer yet, the extension is unknown, or the file exists or cannot be written.
    """
    # Imported here, since it is not needed for the first paint.
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
        raise UsageError(f"{path}: the file exists; choose another name") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    return f"wrote {path.resolve()}"
