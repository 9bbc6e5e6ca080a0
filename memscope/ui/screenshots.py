"""Pictures of the real screen on the bundled demo: `python -m memscope.ui.screenshots [FOLDER]`.

Every picture is taken from the running app, scored by the embedded scorer, in a state folder of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from memscope.config import Config
from memscope.demo import session_path
from memscope.run import Run
from memscope.scoring.events import RowDone
from memscope.session.load import load_session
from memscope.store.database import Database
from memscope.ui.app import MemscopeApp
from memscope.ui.options import UiOptions

__all__ = ["PICTURES", "Picture", "main"]

WIDE = (160, 48)
NARROW = (80, 24)
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: its name, the keys pressed once the matrix is filled, or after how many rows it is taken."""

    name: str
    keys: Sequence[str] = ()
    rows: int | None = None


PICTURES: tuple[Picture, ...] = (
    Picture("filling", rows=9),
    Picture("filled", keys=("down", "down", "down", "down", "right", "right")),
    Picture("drill-down", keys=("down", "down", "down", "down", "right", "right", "enter")),
    Picture("signed", keys=("v", *["down"] * 19, *["right"] * 14)),
    Picture("help", keys=("question_mark",)),
)


async def _until(reached: Callable[[], bool], pilot: Pilot[int]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not reached():
            await pilot.pause(0.05)


async def _take(picture: Picture, size: tuple[int, int], folder: Path, state: Path) -> Path:
    config = Config(state=str(state))
    database = Database(state)
    run = Run(load_session(session_path()), config, database)
    done: set[int] = set()
    run.listen(lambda event: done.add(event.row) if isinstance(event, RowDone) else None)
    if picture.rows is not None:
        wanted = picture.rows
        run.listen(lambda _: run.pause() if len(done) >= wanted else None)
    app = MemscopeApp(run, UiOptions(state, colours="full"))
    path = folder / f"{picture.name}-{size[0]}x{size[1]}.svg"
    async with app.run_test(size=size) as pilot:
        await _until(lambda: run.state in ("done", "failed", "paused"), pilot)
        for key in picture.keys:
            await pilot.press(key)
        await pilot.pause(1.0)
        app.save_screenshot(str(path))
    await run.close()
    database.close()
    return path


def main() -> int:
    """Take all pictures at both sizes."""
    parser = argparse.ArgumentParser(prog="python -m memscope.ui.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"), help="where the pictures go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for size in (WIDE, NARROW):
        with tempfile.TemporaryDirectory() as state:
            for picture in PICTURES:
                path = asyncio.run(_take(picture, size, folder, Path(state)))
                sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
