"""The event loop goes on while another process holds the database, and nothing that was given to it is lost."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from memscope.errors import StoreError
from memscope.store import opening
from memscope.store.database import Database
from memscope.store.decisions import Decisions
from memscope.store.ledger import Ledger, Sample
from memscope.store.session_marks import SessionMarks
from memscope.store.settings import Settings

pytestmark = pytest.mark.anyio

TURNS = 200
"""Turns of the event loop that pass while the database is held."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database that gives up at once where another process holds the lock."""
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.0)
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection, which holds the lock from `hold` until it is rolled back."""
    connection = sqlite3.connect(tmp_path / "memscope.db", isolation_level=None)
    yield connection
    connection.close()


def hold(holder: sqlite3.Connection) -> None:
    holder.execute("BEGIN EXCLUSIVE")


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_a_decision_applies_at_once_and_is_written_once_the_lock_is_free(
    database: Database, holder: sqlite3.Connection
) -> None:
    marks = SessionMarks(database, "s")
    hold(holder)
    written = marks.decide(["r1", "r2"], "approved")
    await turns()
    assert not written.done(), "the lock is held, and the loop goes on"
    assert marks.decisions(["r1", "r2", "r3"]) == {"r1": "approved", "r2": "approved"}
    holder.execute("ROLLBACK")
    await written
    assert Decisions(database).all() == marks.decisions(["r1", "r2"])


async def test_decisions_made_while_the_lock_is_held_are_written_in_order(
    database: Database, holder: sqlite3.Connection
) -> None:
    marks = SessionMarks(database, "s")
    hold(holder)
    written = [marks.decide(["r1", "r2"], "approved"), marks.decide(["r1"], "rejected"), marks.decide(["r2"], None)]
    assert marks.decisions(["r1", "r2"]) == {"r1": "rejected"}
    holder.execute("ROLLBACK")
    await asyncio.gather(*written)
    assert Decisions(database).all() == {"r1": "rejected"} == marks.decisions(["r1", "r2"])


async def test_a_decision_that_cannot_be_written_is_reverted_and_reported(
    impatient: Database, holder: sqlite3.Connection
) -> None:
    marks = SessionMarks(impatient, "s")
    await marks.decide(["r1"], "approved")
    hold(holder)
    failing = [marks.decide(["r1"], "rejected"), marks.decide(["r2"], "approved")]
    assert marks.decisions(["r1", "r2"]) == {"r1": "rejected", "r2": "approved"}
    for written in failing:
        with pytest.raises(StoreError, match="locked"):
            await written
    assert marks.decisions(["r1", "r2"]) == {"r1": "approved"}
    holder.execute("ROLLBACK")
    assert Decisions(impatient).all() == {"r1": "approved"}


async def test_a_decision_is_written_although_its_caller_is_cancelled(
    database: Database, holder: sqlite3.Connection
) -> None:
    marks = SessionMarks(database, "s")
    hold(holder)

    async def decide() -> None:
        await marks.decide(["r1"], "approved")

    task = asyncio.create_task(decide())
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marks.decisions(["r1"]) == {"r1": "approved"}
    holder.execute("ROLLBACK")
    await marks.reload()
    assert marks.decisions(["r1"]) == Decisions(database).all() == {"r1": "approved"}


async def test_a_setting_is_read_at_once_and_written_when_the_lock_is_free(
    database: Database, holder: sqlite3.Connection
) -> None:
    settings = Settings(database)
    hold(holder)
    settings.set("threshold", 2.5)
    await turns()
    assert settings.get("threshold", 1.0) == 2.5
    assert holder.execute("SELECT * FROM settings").fetchall() == [], "it is not on the disk"
    holder.execute("ROLLBACK")
    await database.run(lambda: None)
    assert Settings(database).get("threshold", 1.0) == 2.5


async def test_a_setting_that_is_not_written_is_reported(impatient: Database, holder: sqlite3.Connection) -> None:
    errors: list[StoreError] = []
    stop = impatient.listen(errors.append)
    settings = Settings(impatient)
    hold(holder)
    settings.set("threshold", 2.5)
    with pytest.raises(StoreError):
        await impatient.run(Decisions(impatient).decide, ["r1"], "approved")
    assert [str(error).split(": ")[-1] for error in errors] == ["database is locked"]
    stop()
    settings.set("threshold", 3.5)
    with pytest.raises(StoreError):
        await impatient.run(Decisions(impatient).decide, ["r1"], "approved")
    assert len(errors) == 1
    holder.execute("ROLLBACK")


def test_without_an_event_loop_a_setting_that_is_not_written_is_an_error(
    impatient: Database, holder: sqlite3.Connection
) -> None:
    settings = Settings(impatient)
    hold(holder)
    with pytest.raises(StoreError, match="locked"):
        settings.set("threshold", 2.5)
    holder.execute("ROLLBACK")


async def test_closing_waits_for_what_is_queued(tmp_path: Path) -> None:
    database = Database(tmp_path)
    Settings(database).set("threshold", 2.5)
    written = SessionMarks(database, "s").decide(["r1"], "approved")
    await asyncio.sleep(0)
    database.close()
    await written
    again = Database(tmp_path)
    assert Settings(again).get("threshold", 1.0) == 2.5
    assert Decisions(again).all() == {"r1": "approved"}
    again.close()


def test_work_that_outlives_its_loop_is_done_silently(
    database: Database, holder: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        Settings(database).set("threshold", 2.5)

    hold(holder)
    asyncio.run(leave())
    holder.execute("ROLLBACK")
    database.close()
    assert holder.execute("SELECT value FROM settings").fetchall() == [("2.5",)]
    assert caplog.records == []


async def test_what_another_process_changed_is_noticed_once(tmp_path: Path, database: Database) -> None:
    assert not database.changed_elsewhere()
    Settings(database).set("threshold", 2.0)
    await database.run(lambda: None)
    assert not database.changed_elsewhere(), "its own changes do not count"
    other = Database(tmp_path)
    assert not database.changed_elsewhere(), "opening changes nothing"
    Settings(other).set("threshold", 3.0)
    other.close()
    assert await database.run(database.changed_elsewhere)
    assert not await database.run(database.changed_elsewhere)


async def test_a_screen_sees_the_end_of_a_job_that_another_one_saw(tmp_path: Path, database: Database) -> None:
    here = SessionMarks(database, "s")
    other = Database(tmp_path)
    ledger = Ledger(other)
    key = ledger.prepare("http://host", "tiny", "s", "without", [Sample("r1", 3, 12.5)])
    ledger.mark_sent(key)
    assert here.marks(["r1"]) == {}
    assert await here.refresh("s")
    assert here.marks(["r1", "r2"]) == {"r1": "sending"}
    ledger.mark_accepted(key, "job-1")
    ledger.mark_failed(key, "the loss became nan")
    assert await here.refresh("s")
    assert (here.marks(["r1"]), [s.state for s in here.shipments]) == ({}, ["failed"])
    assert not await here.refresh("s")
    Decisions(other).decide(["r1"], "rejected")
    await here.refresh("s")
    assert here.decisions(["r1"]) == {"r1": "rejected"}
    other.close()


async def test_marks_are_of_one_session_and_read_again_after_a_change(database: Database) -> None:
    ledger = Ledger(database)
    mine = ledger.prepare("http://host", "tiny", "s", "without", [Sample("r1", 3, 12.5)])
    ledger.prepare("http://host", "tiny", "other", "without", [Sample("q1", 0, 1.0)])
    marks = SessionMarks(database, "s")
    assert [shipment.key for shipment in marks.shipments] == [mine]
    await database.run(ledger.mark_sent, mine)
    await database.run(ledger.mark_accepted, mine, "job-1")
    assert marks.marks(["r1", "q1"]) == {"r1": "sending"}
    await marks.reload()
    assert marks.marks(["r1", "q1"]) == {"r1": "trained"}


async def test_work_is_done_in_order_on_one_thread_and_its_errors_come_back(database: Database) -> None:
    done: list[str] = []
    release = threading.Event()

    def slow() -> None:
        release.wait()
        done.append("slow")

    both = asyncio.gather(database.run(slow), database.run(done.append, "fast"))
    await turns()
    release.set()
    await both
    assert done == ["slow", "fast"]
    with pytest.raises(ZeroDivisionError):
        await database.run(lambda: 1 // 0)
