"""Nothing that a run does on the event loop waits for the state database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager

import msgspec
import pytest

from memscope.config import Config
from memscope.errors import StoreError
from memscope.run.finetuning import FineTuning
from memscope.run.incremental import IncrementalScoring
from memscope.run.run import Run
from memscope.scoring.events import Event, Notice
from memscope.session.nodes import Session
from memscope.store import opening
from memscope.store.database import Database
from tests.conftest import ScorerAddress

pytestmark = pytest.mark.anyio


@pytest.fixture
def database(config: Config) -> Iterator[Database]:
    opened = Database(config.state_folder())
    yield opened
    opened.close()


def refuse_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every transaction that is opened on the event loop's thread an error."""
    real = Database.transaction

    def checked(self: Database, *, immediate: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return real(self, immediate=immediate)
        raise AssertionError("a transaction on the event loop")

    monkeypatch.setattr(Database, "transaction", checked)


async def test_a_whole_round_opens_no_transaction_on_the_loop(
    small_session: Session,
    config: Config,
    trainer: ScorerAddress,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(small_session, msgspec.structs.replace(config, url=trainer.url), database)
    tuning = FineTuning(run)
    refuse_the_loop(monkeypatch)
    try:
        await run.matrix()
        first, *_ = (await tuning.candidates.find()).candidates
        tuning.candidates.threshold = 0.5
        tuning.candidates.alternates_on = True
        await tuning.candidates.alternate(first.id)
        await tuning.candidates.decide([first.id], "approved")
        assert tuning.candidates.approved() == [first.id]
        review = await tuning.shipping.review([first.id], "without")
        tuning.shipping.trust("http://10.0.0.1/v1/train")
        key, job = await tuning.shipping.send(review)
        await tuning.shipping.watch(key, job)
        assert tuning.shipping.marks() == {first.id: "trained"}
        await tuning.verify(key)
        assert list(tuning.shipping.history.trained()) == [first.id]
        assert tuning.shipping.history.unmeasured() == ()
        await tuning.marks.refresh(run.session.header.id)
        await IncrementalScoring(run).score()
    finally:
        await run.close()


async def test_a_run_goes_on_while_another_process_holds_the_database_throughout(
    small_session: Session, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_SECONDS", 0.0)
    database = Database(config.state_folder())
    run = Run(small_session, config, database)
    tuning, events = FineTuning(run), list[Event]()
    run.listen(events.append)
    holder = sqlite3.connect(config.state_folder() / "memscope.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        await run.matrix()
        assert run.grids["necessity"].status == ["done"] * 3
        with pytest.raises(StoreError, match="locked"):
            await tuning.candidates.decide(run.layout.responses, "approved")
        assert tuning.candidates.approved() == []
        assert any("continuing without cache" in event.text for event in events if isinstance(event, Notice))
    finally:
        holder.close()
        await run.close()
        database.close()
