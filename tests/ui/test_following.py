"""The screen over a session that an agent is still writing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from memscope.config import Config
from memscope.run import following
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.scoring.events import SessionGrown
from memscope.session.follow import FollowedFile, empty_session
from memscope.store.database import Database
from memscope.ui.app import MemscopeApp
from memscope.ui.candidates.pane import CandidatesPane
from memscope.ui.help import Help
from memscope.ui.options import UiOptions
from tests.conftest import SMALL_SESSION

from .conftest import Screens, drawn, eventually, find_candidates, shown

pytestmark = pytest.mark.anyio

LINES = SMALL_SESSION.splitlines(keepends=True)


class Live:
    """A screen that follows a file."""

    def __init__(self, path: Path, app: MemscopeApp, pilot: Pilot[int]) -> None:
        self.path, self.app, self.pilot = path, app, pilot

    def append(self, *lines: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b"".join(lines))

    @property
    def text(self) -> str:
        return "\n".join(shown(self.app))

    @property
    def title(self) -> str:
        return shown(self.app)[0]

    async def until(self, reached: Callable[[], bool]) -> None:
        async def step() -> None:
            self.app._feed.flush()
            await self.pilot.pause(0.01)

        for _ in range(3000):
            if reached():
                return
            await step()
        raise AssertionError(f"it did not happen:\n{self.text}")


@asynccontextmanager
async def live(path: Path, config: Config, size: tuple[int, int] = (160, 48)) -> AsyncIterator[Live]:
    config = replace(config, follow=True)
    database = Database(config.state_folder())
    file = FollowedFile(path)
    update = file.poll()
    run = Run(update.session or empty_session(file), config, database)
    options: Any = replace(UiOptions.of(config), colours="full")
    app = MemscopeApp(run, options, Following(run, file, update.notices))
    try:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield Live(path, app, pilot)
        await app.shut_down()
    finally:
        await run.close()
        database.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.0)


@pytest.mark.parametrize("size", [(160, 48), (80, 24)])
async def test_an_empty_screen_says_what_it_waits_for_until_there_is_a_map(
    tmp_path: Path, config: Config, size: tuple[int, int]
) -> None:
    async with live(tmp_path / "live.jsonl", config, size) as case:
        assert case.text.count("waiting for /") == 2, "in the title and in place of the map"
        assert "dependence" not in case.text
        case.append(*LINES[:4])
        await case.until(lambda: "waiting for the first response" in case.text)
        assert "db/port" in case.text
        case.append(*LINES[4:])
        await case.until(lambda: case.title.rstrip().endswith("live"))
        assert "3 memories × 3 responses" in case.title
        assert "dependence" in case.text
        assert "waiting" not in case.text
        log = case.app._log_pane.copied()
        assert log.count(" finished after ") == 0
        assert log.count("rendered as ChatML") == 1


async def test_the_title_says_what_is_pending_and_that_it_is_paused(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(SMALL_SESSION)
    async with live(path, config) as case:
        await case.until(lambda: case.title.rstrip().endswith("live"))
        assert "read-only" in case.title
        await case.pilot.press("p")
        case.append(*LINES[4:6])
        await case.until(lambda: "paused · 3 cells pending" in case.title)
        await case.pilot.press("escape", "p")
        await case.until(lambda: case.title.rstrip().endswith("live"))
        assert case.app.measured.grids["necessity"].status == ["done"] * 3


async def test_the_cursor_stays_on_its_cell_or_rides_on_the_newest_response(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(b"".join(LINES[:6]))
    async with live(path, config) as case:
        view = case.app._heatmap.view
        await case.until(lambda: view.response is not None)
        cell = (view.key, view.response)
        case.append(*LINES[6:10])
        await case.until(lambda: view.rows.columns == 2)
        assert (view.key, view.response) == cell
        await case.pilot.press("F")
        assert view.column == 1
        case.append(*LINES[10:])
        await case.until(lambda: view.rows.columns == 3)
        assert view.column == 2
        await case.pilot.press("left")
        case.append(*LINES[4:6])
        await case.until(lambda: view.rows.columns == 4)
        assert view.column == 1, "moving away ends the ride"


async def test_what_happens_to_the_file_is_told(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "live.jsonl"
    path.write_bytes(SMALL_SESSION)
    async with live(path, config) as case:
        await case.until(lambda: case.title.rstrip().endswith("live"))
        path.write_bytes(b"".join(LINES[:6]))
        await case.until(lambda: "was truncated: reading it from the start" in case.app._log_pane.copied())
        await case.until(lambda: "2 memories × 1 response" in case.title)
        case.append(b"not JSON\n")
        await case.until(lambda: f"skipped: {path}:7: not JSON" in case.app._log_pane.copied())


async def test_a_read_only_screen_dims_the_keys_that_change_something(screens: Screens, run: Run) -> None:
    run.config = replace(run.config, read_only=True)
    async with screens((160, 48), read_only=True) as (app, pilot):
        find_candidates(app)
        await pilot.press("3")
        await drawn(pilot)
        pane = app.query_one(CandidatesPane)
        for action, enabled in (("decide", None), ("send", None), ("threshold", None), ("move", True), ("find", True)):
            assert pane.check_action(action, ()) is enabled, action
        hints = app.screen.query_one("#hints").render_line(0)
        styles = {segment.text.strip(): segment.style for segment in hints if segment.text.strip()}
        assert styles["a"] is not None
        assert styles["a"].dim
        assert styles["⏎"] is not None
        assert not styles["⏎"].dim
        await pilot.press("a", "x", "space", "t", "g", "plus", "minus")
        await pilot.pause()
        assert {notice.message for notice in app._notifications} == {
            "read-only: start memscope with --no-read-only to decide and train"
        }
        assert app.candidates.tasks.tuning.candidates.decisions() == {}
        assert app.candidates.tasks.tuning.candidates.threshold == 1.0
        assert len(app.screen_stack) == 1
        await pilot.press("question_mark")
        assert isinstance(app.screen, Help)
        told = [line for line in app.screen._text.plain.splitlines() if "(read-only)" in line]
        assert {line.split()[-1] for line in told} == {
            *("candidate.approve", "candidate.reject", "candidate.select", "candidate.send"),
            *("candidate.alternates", "candidate.raise", "candidate.lower"),
        }


async def test_sums_stay_while_a_new_response_is_pending(screens: Screens, run: Run) -> None:
    from .conftest import fill
    from .test_growing_session import longer

    async with screens((160, 48)) as (app, pilot):
        fill(run.grids["necessity"])
        app._comparison.show("necessity")
        before = list(app._heatmap.view.rows.dependence)
        assert sum(before) > 0
        await run.replace_session(longer(run.session))
        assert run.grids["necessity"].status.count("waiting") == 7
        await drawn(pilot)
        await eventually(pilot, lambda: app._heatmap.view.rows.columns == 6)
        assert list(app._heatmap.view.rows.dependence)[:5] == before


async def test_a_longer_session_is_announced_once(run: Run) -> None:
    from .test_growing_session import longer

    grown: list[SessionGrown] = []
    run.listen(lambda event: grown.append(event) if isinstance(event, SessionGrown) else None)
    await run.replace_session(longer(run.session))
    assert grown == [SessionGrown(7, 6)]
