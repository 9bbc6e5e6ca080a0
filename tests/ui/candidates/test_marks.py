"""What another memscope decides or sends is seen on this screen."""

from __future__ import annotations

import pytest

from memscope.errors import StoreError
from memscope.run.run import Run
from memscope.store.database import Database
from memscope.store.ledger import Ledger, Sample
from memscope.store.session_marks import SessionMarks
from memscope.ui.app import MemscopeApp
from tests.ui.conftest import Screens, eventually, find_candidates, shown

pytestmark = pytest.mark.anyio


def text(app: MemscopeApp) -> str:
    return "\n".join(shown(app))


async def test_a_job_that_another_screen_saw_end_does_not_stay_running(screens: Screens, run: Run) -> None:
    async with screens((160, 48)) as (app, pilot):
        find_candidates(app)
        await pilot.press("3")
        other = Database(run.config.state_folder())
        ledger = Ledger(other)
        first = run.layout.responses[0]
        key = ledger.prepare("http://127.0.0.1:9", "m", run.session.header.id, "without", [Sample(first, 0, 5.0)])
        ledger.mark_sent(key)
        ledger.mark_accepted(key, "job-1")
        app.on_app_focus()
        await eventually(pilot, lambda: "training" in text(app))
        ledger.mark_succeeded(key)
        app._refresh_marks()
        await eventually(pilot, lambda: "training" not in text(app))
        assert "trained" in text(app)
        other.close()


async def test_a_decision_made_elsewhere_is_shown(screens: Screens, run: Run) -> None:
    async with screens((160, 48)) as (app, pilot):
        find_candidates(app)
        await pilot.press("3")
        other = Database(run.config.state_folder())
        await SessionMarks(other, run.session.header.id).decide([run.layout.responses[1]], "rejected")
        app.on_app_focus()
        await eventually(pilot, lambda: "rejected" in text(app))
        other.close()


async def test_an_unreadable_database_is_logged(screens: Screens, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(session: str) -> bool:
        raise StoreError("the database is locked")

    async with screens((160, 48)) as (app, pilot):
        monkeypatch.setattr(app.candidates.tasks.tuning.marks, "refresh", refuse)
        await pilot.press("5")
        app.on_app_focus()
        await eventually(pilot, lambda: "the database is locked" in text(app))
