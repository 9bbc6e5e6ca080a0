"""Random keys over every pane and question: `python tests/ui/random_keys.py [SECONDS] [FIRST_SEED]`.

Bursts arrive as one read of a terminal brings them. After each burst the app must still run, and draw its screen.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from textual.pilot import Pilot

from memscope.config import Config
from memscope.run.run import Run
from memscope.store.database import Database
from memscope.ui.app import MemscopeApp
from memscope.ui.keys import bindings_by_id
from memscope.ui.options import UiOptions
from tests.ui.conftest import AppPilot, fill, find_candidates, make_session, shown

LEAVING = ("quit",)
"""Bindings that may end the app; everything else may not."""

TYPED = (*"abtom1234567890", "backspace", "delete", "space", "ctrl+u", "ctrl+w", "ctrl+k", "ctrl+v")
OTHERS = ("ctrl+p", "ctrl+z", "ctrl+l", "shift+up", "ctrl+right", "f1", "ctrl+s", "enter", "escape", "tab", "shift+tab")
SIZES = ((80, 24), (160, 48), (79, 23), (140, 24), (300, 90), (1, 1))


def all_keys() -> list[str]:
    """Every key of every binding but those that leave, and keys that are bound to nothing."""
    bound = [key for name, binding in bindings_by_id().items() if name not in LEAVING for key in binding.key.split(",")]
    return [*bound, *OTHERS, *TYPED]


async def press_at_random(app: MemscopeApp, pilot: Pilot[int], chance: random.Random, bursts: int) -> list[str]:
    """Press bursts of keys and resize now and then; return the keys, and raise what the app raised."""
    keys, pressed = all_keys(), list[str]()
    for _ in range(bursts):
        burst = chance.choices(keys, k=chance.randint(1, 8))
        pressed += burst
        for key in burst:
            app.simulate_key(key)
        await pilot.pause()
        if chance.random() < 0.05:
            pressed.append(str(size := chance.choice(SIZES)))
            await pilot.resize_terminal(*size)
        check(app, pressed)
    return pressed


def check(app: MemscopeApp, pressed: Sequence[str]) -> None:
    """See that the app runs, and that its screen is as large as the terminal."""
    told = f"after {' '.join(pressed[-40:])}"
    assert app.is_running, told
    assert app.failure is None, f"{app.failure!r} {told}"
    width, height = app.size
    lines = shown(app)
    assert len(lines) == height, told
    assert any(line.strip() for line in lines) or width * height < 20, told


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[AppPilot]:
    """The screen over a scored session, which asks no scorer."""
    database = Database(folder)
    run = Run(make_session(), Config(state=str(folder), url="http://127.0.0.1:9/v1"), database)
    fill(run.grids["necessity"])
    app = MemscopeApp(run, UiOptions(folder, score=False, colours="full", undo_seconds=60))
    try:
        async with app.run_test(size=(160, 48)) as pilot:
            find_candidates(app)
            # The palette offers to quit, and a question does: everything else must not.
            setattr(app, "exit", lambda *_, **__: None)  # noqa: B010
            yield app, pilot
    finally:
        await app.shut_down()
        await run.close()
        database.close()


async def play(seed: int, bursts: int, folder: Path) -> int:
    """Press keys of one seed; return how many."""
    async with opened(folder) as (app, pilot):
        return len(await press_at_random(app, pilot, random.Random(seed), bursts))


def main() -> None:
    """Press keys, seed after seed, until the time is up."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began, keys = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        print(f"seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            keys += asyncio.run(play(seed, 100, Path(folder)))
        seed += 1
    print(f"{keys} keys in {time.monotonic() - began:.0f} s: none ended the app")


if __name__ == "__main__":
    main()
