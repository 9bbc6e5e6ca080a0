"""Eight screens at two sizes, as text, against `snapshots/`.

After a change that is wanted, `RENEW_SNAPSHOTS=1 pytest tests/ui/test_snapshots.py` writes them anew; read the diff.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from textual.pilot import Pilot

from memscope.run.run import Run
from memscope.scoring.tokens import CellTokens
from memscope.training.samples import Review
from memscope.ui.app import MemscopeApp
from memscope.ui.candidates.review import ReviewScreen

from .conftest import Screens, fill, find_candidates, shown

pytestmark = pytest.mark.anyio

FOLDER = Path(__file__).with_name("snapshots")
SIZES = ((160, 48), (80, 24))
Steps: TypeAlias = Callable[[MemscopeApp, "Pilot[int]"], Awaitable[None]]


def keys(*pressed: str) -> Steps:
    """A screen that is reached by keys alone."""

    async def steps(_: MemscopeApp, pilot: Pilot[int]) -> None:
        await pilot.press(*pressed)

    return steps


async def _detail(app: MemscopeApp, pilot: Pilot[int]) -> None:
    async def tokens(*_: object) -> CellTokens:
        before, after = (-1.0, -0.5, -0.1, -0.2, 0.0), (-1.0, -0.5, -0.1, -2.2, 0.0)
        return CellTokens(("Tom", " lives", " in", " Oslo", "."), before, after)

    app.measured.tokens = tokens  # type: ignore[method-assign,assignment]
    await pilot.press("down", "right", "enter")


async def _diff(app: MemscopeApp, pilot: Pilot[int]) -> None:
    first = app.candidates.pane.current
    assert first is not None
    app.candidates.tasks.alternates[first.id] = "I do not know where Mira lives."
    app.candidates.moved()
    await app.workers.wait_for_complete(list(app.candidates.diff.workers))
    await pilot.press("4")


async def _review(app: MemscopeApp, pilot: Pilot[int]) -> None:
    review = Review(
        responses=("r0",),
        samples=(),
        address="http://127.0.0.1:8000/v1/train",
        loopback=True,
        known=True,
        context="without",
        effect="the model learns to say it by itself",
        example=("<|im_start|>user\nWhere does Mira live?<|im_end|>\n", "Mira lives in Lisbon.<|im_end|>"),
    )
    app.push_screen(ReviewScreen(review, undo_seconds=5))
    await pilot.pause()


SCREENS: dict[str, Steps] = {
    "map": keys("down", "right"),
    "signed-sorted": keys("v", "s"),
    "filter": keys("slash", *"tom"),
    "score-again": keys("r"),
    "help": keys("question_mark"),
    "detail": _detail,
    "candidates": keys("3", "a", "x", "space"),
    "diff": _diff,
    "review": _review,
}


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", SCREENS)
async def test_the_screen_is_as_it_was(screens: Screens, run: Run, name: str, size: tuple[int, int]) -> None:
    async with screens(size) as (app, pilot):
        fill(run.grids["necessity"])
        app._comparison.show("necessity")
        find_candidates(app)
        await SCREENS[name](app, pilot)
        app.clear_notifications()
        await pilot.pause()
        await pilot.pause()
        text = "\n".join(line.rstrip() for line in shown(app)) + "\n"
    path = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    if "RENEW_SNAPSHOTS" in os.environ:
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
