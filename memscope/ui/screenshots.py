"""Screenshots of the bundled demo: `python -m memscope.ui.screenshots [FOLDER]`.

Each one is taken from the running app with the embedded scorer and a temporary state folder.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from memscope.config import Config
from memscope.demo import session_path
from memscope.run.run import Run
from memscope.scoring.events import RowDone
from memscope.session.load import load_session
from memscope.store.database import Database
from memscope.ui.app import MemscopeApp
from memscope.ui.capture import save_picture, until
from memscope.ui.live_screenshots import LIVE_PICTURES, record_agent, take_live
from memscope.ui.options import UiOptions

__all__ = ["PICTURES", "Picture", "main"]

WIDE = (160, 48)
NARROW = (80, 24)


Reached: TypeAlias = Callable[[MemscopeApp], bool]


@dataclass(frozen=True, slots=True)
class Picture:
    """One screenshot.

    Attributes:
        name: The beginning of its file name.
        steps: Keys to press once the map is complete, and conditions to wait for between them.
        rows: Take it after this many rows, before the map is complete.
    """

    name: str
    steps: Sequence[str | Reached] = ()
    rows: int | None = None


def _listed(app: MemscopeApp) -> bool:
    return app.candidates.pane.current is not None


def _said(app: MemscopeApp) -> bool:
    current = app.candidates.pane.current
    return current is not None and current.id in app.candidates.tasks.alternates and not app.candidates.tasks.generating


def _trained(app: MemscopeApp) -> bool:
    return app.candidates.tasks.unmeasured and not app.candidates.tasks.busy


def _proven(app: MemscopeApp) -> bool:
    return not app.candidates.tasks.unmeasured and not app.measured.grids["necessity"].status.count("waiting")


def _filled(app: MemscopeApp) -> bool:
    return app.measured.state == "done"


_APPROVED = (_listed, "3", "a", "a", "a", "a")
PICTURES: tuple[Picture, ...] = (
    Picture("filling", rows=9),
    Picture("filled", ("down", "down", "down", "down", "right", "right")),
    Picture("drill-down", ("down", "down", "down", "down", "right", "right", "enter")),
    Picture("signed", ("v", *["down"] * 19, *["right"] * 14)),
    Picture("help", ("question_mark",)),
    Picture("candidates", (*_APPROVED, "g", _said, *["down"] * 3)),
    Picture("diff", (_listed, "3", *["down"] * 9, _said, "4")),
    Picture("review", (_listed, "3", "t")),
    Picture("before-after", (_listed, "3", "t", "enter", _trained, "r", _proven, _filled)),
)


async def _take(picture: Picture, size: tuple[int, int], folder: Path, state: Path) -> Path:
    config = Config(state=str(state))
    database = Database(state)
    run = Run(load_session(session_path()), config, database)
    done: set[str] = set()
    run.listen(lambda event: done.add(event.key) if isinstance(event, RowDone) else None)
    if picture.rows is not None:
        wanted = picture.rows
        run.listen(lambda _: run.pause() if len(done) >= wanted else None)
    app = MemscopeApp(run, UiOptions(state, colours="full", undo_seconds=0))
    async with app.run_test(size=size) as pilot:
        await until(lambda: run.state in ("done", "failed", "paused"), pilot)
        for step in picture.steps:
            if isinstance(step, str):
                await pilot.press(step)
            else:
                await until(partial(step, app), pilot)
                await pilot.pause(0.2)
        path = await save_picture(app, pilot, folder, picture.name)
    await app.shut_down()
    await run.close()
    database.close()
    return path


async def _take_all(size: tuple[int, int], folder: Path, only: Sequence[str]) -> AsyncIterator[Path]:
    """Take the screenshots in one size and yield their files."""
    with tempfile.TemporaryDirectory() as state:
        for picture in PICTURES:
            if not only or picture.name in only:
                yield await _take(picture, size, folder, Path(state))
    if only and not {picture.name for picture in LIVE_PICTURES}.intersection(only):
        return
    with tempfile.TemporaryDirectory() as state:
        calls = await record_agent(Path(state))
        for path in await take_live(calls, size, folder, Path(state)):
            yield path


async def _write_all(folder: Path, only: Sequence[str]) -> None:
    for size in (WIDE, NARROW):
        async for path in _take_all(size, folder, only):
            sys.stdout.write(f"{path}\n")


def main() -> int:
    """Take all screenshots in both sizes."""
    parser = argparse.ArgumentParser(prog="python -m memscope.ui.screenshots", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("screenshots"), help="output folder")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="take only these; live ones together")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_write_all(options.folder, options.only))
    return 0


if __name__ == "__main__":
    sys.exit(main())
