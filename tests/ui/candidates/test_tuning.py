"""Candidates, diff, review, sending and the proof, by keyboard, on a real model that is really trained."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest
from textual.pilot import Pilot

from memscope.config import Config
from memscope.errors import ScorerError
from memscope.run.run import Run
from memscope.scoring.events import AlternateDone, AlternateFailed, Event, Finished, ShipmentChanged, StrippedDone
from memscope.scoring.finetune import Candidate, Findings
from memscope.session.nodes import Session
from memscope.store.database import Database
from memscope.training.history import TrainedResponse
from memscope.ui.app import MemscopeApp
from memscope.ui.candidates.pane import CandidatesPane, CandidatesState
from memscope.ui.candidates.review import ReviewScreen
from memscope.ui.dialogs import Choose
from memscope.ui.options import UiOptions
from tests.conftest import ScorerAddress
from tests.ui.conftest import EVIL, AppPilot, Screens, drawn, eventually, heard, shown
from tests.ui.test_app import assert_inert

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(
    session: Session, config: Config, size: tuple[int, int] = (160, 48), undo_seconds: int = 0
) -> AsyncIterator[AppPilot]:
    """Open the screen and wait until the map and the line below it are filled."""
    database = Database(config.state_folder())
    run = Run(session, config, database)
    app = MemscopeApp(run, UiOptions(config.state_folder(), colours="full", undo_seconds=undo_seconds))
    try:
        async with AsyncExitStack() as stack:
            async with heard(run, _candidates_found()):
                pilot = await stack.enter_async_context(app.run_test(size=size))
            await drawn(pilot)
            yield app, pilot
    finally:
        await app.shut_down()
        await run.close()
        database.close()


def screen_text(app: MemscopeApp) -> str:
    return "\n".join(shown(app))


def _candidates_found() -> Callable[[Event], bool]:
    """Return what recognises the event after which candidates are listed: all left out is scored before and after."""
    ended: list[Event] = []

    def found(event: Event) -> bool:
        if isinstance(event, Finished):
            ended.append(event)
        return bool(ended) and isinstance(event, StrippedDone)

    return found


async def review_of(pilot: Pilot[int]) -> None:
    """Press the key that sends and wait for the review, which asks the disk first."""
    await pilot.press("3", "t")
    await eventually(pilot, lambda: isinstance(pilot.app.screen, ReviewScreen))


async def test_the_whole_round_by_keyboard(small_session: Session, config: Config, trainer: ScorerAddress) -> None:
    training = msgspec.structs.replace(config, url=trainer.url)
    async with opened(small_session, training) as (app, pilot):
        run = app.measured
        await pilot.press("3", "a", "a")
        await review_of(pilot)
        text = screen_text(app)
        assert "2 responses (0, 1)" in text
        assert f"to {trainer.url}/train" in text
        assert "The staging database listens on port 7432.<|im_end|>" in text
        async with heard(run, lambda event: isinstance(event, ShipmentChanged) and event.state == "succeeded"):
            await pilot.press("enter")
        await drawn(pilot)
        assert "trained: r scores again" in screen_text(app)
        async with heard(run, Finished):
            await pilot.press("r")
        await drawn(pilot)
        text = screen_text(app)
        assert "before → after: dependence fell by" in text
        assert "after − before" in shown(app)[0]
        trained = app.candidates.tasks.tuning.shipping.history.trained().values()
        measured = [f"{known.response.divergence:.2f} → {known.after:6.2f}  trained" for known in trained]
        assert len(measured) == 2
        assert all(line in text for line in measured)
        await pilot.press("1", "d")
        await pilot.pause()
        assert "after − before" not in shown(app)[0]
        await pilot.press("3", "t")
        await eventually(pilot, lambda: isinstance(app.screen, Choose))  # sending what was trained is asked about
    async with opened(small_session, training) as (app, pilot):
        await pilot.press("3")
        await pilot.pause()
        assert all(line in screen_text(app) for line in measured), "it is kept"
        await pilot.press("t")
        await eventually(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press("down", "enter")
        await eventually(pilot, lambda: isinstance(app.screen, ReviewScreen))  # whoever insists may send again
        async with heard(app.measured, lambda event: isinstance(event, ShipmentChanged) and event.state == "succeeded"):
            await pilot.press("enter")
        await drawn(pilot)
        assert app.candidates.tasks.unmeasured


async def test_a_send_can_be_cancelled(small_session: Session, config: Config) -> None:
    async with opened(small_session, config, undo_seconds=60) as (app, pilot):
        await review_of(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert "sending in 60 s" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, ReviewScreen)
        assert app.candidates.tasks.tuning.shipping.history.shipments() == ()


async def test_the_context_is_chosen_in_the_review_and_remembered(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (app, pilot):
        await review_of(pilot)
        assert "without memories" in screen_text(app)
        await pilot.press("w")
        await pilot.pause()
        assert "use what it is told" in screen_text(app)
        await pilot.press("escape")
        assert app.candidates.tasks.tuning.shipping.context == "with"


async def test_a_server_that_cannot_train_says_so(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (app, pilot):
        async with heard(app.measured, lambda event: isinstance(event, ShipmentChanged) and event.state == "failed"):
            await review_of(pilot)
            await pilot.press("enter")
        await drawn(pilot)
        assert "cannot train" in screen_text(app)
        assert app.candidates.tasks.tuning.shipping.marks() == {}


async def test_decisions_are_made_for_one_or_many_and_survive(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (app, pilot):
        await pilot.press("3")
        await pilot.pause()
        await pilot.press("space", "space", "x")
        assert app.candidates.tasks.tuning.candidates.decisions() == dict.fromkeys(
            app.measured.layout.responses[:2], "rejected"
        )
        await pilot.press("home", "a")
        assert set(app.candidates.tasks.tuning.candidates.decisions().values()) == {"approved", "rejected"}
        kept = app.candidates.tasks.tuning.candidates.decisions()
    async with opened(small_session, config) as (app, pilot):
        await pilot.press("3")
        await pilot.pause()
        assert app.candidates.tasks.tuning.candidates.decisions() == kept
        text = screen_text(app)
        assert "approved" in text
        assert "rejected" in text


async def test_the_threshold_moves_and_an_empty_list_says_why(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as (app, pilot):
        await pilot.press("3", "minus")
        assert app.candidates.tasks.tuning.candidates.threshold == 0.5
        await pilot.press(*["plus"] * 9)
        await pilot.pause()
        assert "no candidate: 3 responses seen, maximum divergence" in screen_text(app)


@pytest.mark.parametrize("size", [(160, 48), (80, 24)])
async def test_alternates_stream_into_the_diff(small_session: Session, config: Config, size: tuple[int, int]) -> None:
    async with opened(small_session, config, size) as (app, pilot):
        done: list[Event] = []
        app.measured.listen(lambda event: done.append(event) if isinstance(event, AlternateDone) else None)
        async with heard(app.measured, lambda _: len(done) == 2):
            await pilot.press("3", "g")
        await drawn(pilot)
        await app.workers.wait_for_complete(list(app.candidates.diff.workers))
        await pilot.press("4")
        await pilot.pause()
        assert "I don't know" in screen_text(app)
        if size == (160, 48):
            assert "with memories" in screen_text(app), "a focused diff has room for both texts"
        first = app.candidates.pane.current
        await pilot.press("right", "a")
        assert first is not None
        assert app.candidates.pane.current != first
        assert list(app.candidates.tasks.tuning.candidates.decisions().values()) == ["approved"]
        await pilot.press("g")
        assert not app.candidates.tasks.tuning.candidates.alternates_on


async def test_a_failed_alternate_is_shown_at_its_candidate(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(small_session, config) as (app, pilot):
        failed: list[Event] = []
        app.measured.listen(lambda event: failed.append(event) if isinstance(event, AlternateFailed) else None)
        monkeypatch.setattr(app.measured.rescorer.scorer, "generate", _refuse)
        async with heard(app.measured, lambda _: len(failed) == 2):
            await pilot.press("3", "g")
        await drawn(pilot)
        assert "no alternate: the scorer generates nothing" in screen_text(app)


def _refuse(*_: object, **__: object) -> None:
    raise ScorerError("the scorer generates nothing")


def candidate(index: int, text: str = "text") -> Candidate:
    return Candidate(f"r{index}", index, index, 100.0 - index, "2026-11-20T10:00:00Z", text)


def state(*candidates: Candidate) -> CandidatesState:
    return CandidatesState(Findings(candidates, len(candidates), 100.0, 1.0, 0, 0))


async def test_the_cursor_stays_on_its_response(screens: Screens) -> None:
    async with screens() as (app, pilot):
        pane = app.query_one(CandidatesPane)
        await pilot.press("3")
        pane.show(state(candidate(0), candidate(1), candidate(2)))
        await pilot.press("down", "down")
        pane.show(state(candidate(2), candidate(3)))
        assert pane.current == candidate(2)
        pane.show(CandidatesState())
        pane.show(state(candidate(0), candidate(1), candidate(2)))
        assert pane.current == candidate(2), "also after a moment in which it was not listed"


async def test_trained_responses_show_their_state(screens: Screens) -> None:
    async with screens((160, 48)) as (app, pilot):
        pane = app.query_one(CandidatesPane)
        pane.show(
            CandidatesState(
                trained={
                    "r1": TrainedResponse(candidate(1), None, running=True, lost=False),
                    "r2": TrainedResponse(candidate(2), 0.25, running=False, lost=False),
                    "r3": TrainedResponse(candidate(3), 0.5, running=False, lost=True),
                }
            )
        )
        await pilot.pause()
        text = screen_text(app)
        assert "98.00 →   0.25  trained" in text
        assert "training" in text
        assert "lost" in text
        assert "1 weights lost (not saved)" in text


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
async def test_hostile_candidates_are_inert(screens: Screens, size: tuple[int, int]) -> None:
    async with screens(size) as (app, pilot):
        evil = Candidate("r0", 0, 0, 5.0, EVIL, EVIL)
        app.query_one(CandidatesPane).show(CandidatesState(Findings((evil,), 1, 5.0, 1.0, 0, 0), note=EVIL))
        app.candidates.diff.show(evil, EVIL, EVIL + " and more", EVIL, "")
        for key in ("3", "4"):
            await pilot.press(key)
            await pilot.pause()
            assert_inert(shown(app))
