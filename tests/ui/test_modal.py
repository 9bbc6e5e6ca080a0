"""Questions on top of the screen, answered by keys that arrive faster than the screen changes."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import SystemCommand
from textual.pilot import Pilot

from memscope.run.run import Run
from memscope.training.samples import Review
from memscope.ui.app import MemscopeApp
from memscope.ui.candidates.review import ReviewScreen
from memscope.ui.commands import CommandMenu
from memscope.ui.dialogs import Ask, Choose
from memscope.ui.intents import ReviewSend, ToggleAlternates
from memscope.ui.modal import Answers
from memscope.ui.quitting import QuitQuestion

from .conftest import Screens, eventually, find_candidates, shown

pytestmark = pytest.mark.anyio


async def at_once(pilot: Pilot[int], *keys: str) -> None:
    """Press keys as one read of the terminal brings them: all are queued before the first is handled."""
    for key in keys:
        pilot.app.simulate_key(key)
    await pilot.pause()


@pytest.mark.parametrize("opener", ["r", "e"])
async def test_a_question_is_answered_once(screens: Screens, opener: str) -> None:
    async with screens() as (app, pilot):
        await pilot.press(opener)
        assert isinstance(app.screen, Choose | Ask)
        await at_once(pilot, "enter", "enter", "escape")
        assert len(app.screen_stack) == 1
        assert "city/mira" in "\n".join(shown(app))


async def test_one_key_in_one_read_opens_one_question(screens: Screens) -> None:
    async with screens() as (app, pilot):
        await at_once(pilot, "r", "r", "e", "question_mark")
        assert [type(screen) for screen in app.screen_stack[1:]] == [Choose]


async def test_the_question_before_quitting_is_asked_once(screens: Screens, run: Run) -> None:
    async with screens() as (app, pilot):
        run.state = "scoring"
        await at_once(pilot, "q", "q", "ctrl+q", "ctrl+q")
        assert [type(screen) for screen in app.screen_stack[1:]] == [QuitQuestion]
        await at_once(pilot, "down", "enter", "enter")
        assert len(app.screen_stack) == 1
        await at_once(pilot, "q")
        await at_once(pilot, "enter", "enter")
        assert app.return_value == 0


@pytest.mark.parametrize("action", ["page_up", "page_down"])
async def test_page_keys_in_answers_that_are_not_laid_out_do_no_harm(screens: Screens, action: str) -> None:
    async with screens() as (app, _):
        answers = Answers("yes", "no")
        answers.display = False
        await app.screen.mount(answers)
        answers.highlighted = 0
        await app.run_action(action, answers)
        assert answers.highlighted == 0


@pytest.mark.parametrize(
    "keys",
    [
        ("ctrl+p", "enter", "enter"),
        ("ctrl+p", "pageup"),
        ("ctrl+p", "pagedown", "up", "down", "ctrl+home", "ctrl+end", "enter"),
        ("ctrl+p", "escape", "escape", "enter"),
    ],
)
async def test_the_palette_takes_keys_before_it_is_drawn(screens: Screens, keys: tuple[str, ...]) -> None:
    async with screens() as (app, pilot):
        await at_once(pilot, *keys)
        await at_once(pilot, "escape", "escape")
        assert len(app.screen_stack) == 1


async def test_the_palette_runs_a_command_once(screens: Screens, monkeypatch: pytest.MonkeyPatch) -> None:
    async with screens() as (app, pilot):
        calls: list[str] = []
        command = SystemCommand("Count", "count", lambda: calls.append("count"))
        monkeypatch.setattr(app, "get_system_commands", lambda _: [command])
        await pilot.press("ctrl+p", *"count")
        await app.workers.wait_for_complete(list(app.screen.workers))
        await pilot.pause()
        await at_once(pilot, "enter", "enter", "enter")
        await pilot.pause()
        assert calls == ["count"]


async def test_the_palette_does_not_open_over_a_question(screens: Screens) -> None:
    async with screens() as (app, pilot):
        await pilot.press("e", "ctrl+p")
        assert isinstance(app.screen, Ask)
        await pilot.press("escape", "ctrl+p", "ctrl+p")
        assert [type(screen) for screen in app.screen_stack[1:]] == [CommandMenu]


def a_review() -> Review:
    return Review(
        responses=("r0",),
        samples=(),
        address="http://127.0.0.1:1/train",
        loopback=True,
        known=True,
        context="without",
        effect="",
        example=("", ""),
    )


async def opened_review(app: MemscopeApp, pilot: Pilot[int], answers: list[str | None]) -> ReviewScreen:
    review = ReviewScreen(a_review(), undo_seconds=60)
    app.push_screen(review, answers.append)
    await pilot.press("enter")
    return review


async def test_nothing_is_sent_while_another_question_covers_the_review(screens: Screens, run: Run) -> None:
    async with screens() as (app, pilot):
        answers: list[str | None] = []
        review = await opened_review(app, pilot, answers)
        run.state = "scoring"
        await pilot.press("ctrl+q")
        assert [type(screen) for screen in app.screen_stack[1:]] == [ReviewScreen, QuitQuestion]
        for _ in range(100):
            review._tick()
        assert answers == []
        await pilot.press("escape")
        assert app.screen_stack[1:] == [review]
        for _ in range(30):
            review._tick()
        await pilot.pause()
        assert answers == [], "the window is as long as it was"
        for _ in range(31):
            review._tick()
        await pilot.pause()
        assert answers == ["send"]
        assert len(app.screen_stack) == 1


async def test_a_second_press_while_the_review_is_prepared_opens_no_second_one(
    screens: Screens, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = asyncio.Event()

    async def review(*_: object, **__: object) -> Review:
        await ready.wait()
        return a_review()

    async with screens() as (app, pilot):
        find_candidates(app)
        monkeypatch.setattr(app.candidates.tasks.tuning.shipping, "review", review)
        for _ in range(3):
            app.candidates.follow(ReviewSend())
            await pilot.pause()
        ready.set()
        await eventually(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert [type(screen) for screen in app.screen_stack[1:]] == [ReviewScreen]
        await pilot.press("escape")
        assert len(app.screen_stack) == 1


async def test_alternates_turned_on_and_off_in_one_read_leave_nothing_behind(screens: Screens) -> None:
    async with screens() as (app, pilot):
        candidates = find_candidates(app)
        await pilot.press("3")
        await pilot.pause()
        for _ in range(4):
            app.candidates.follow(ToggleAlternates())
        await pilot.pause()
        assert not candidates.alternates_on
