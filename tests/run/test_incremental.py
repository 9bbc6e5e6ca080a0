"""Incremental importance: whose memories are scored, and under which weights they are remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from memscope.config import Config
from memscope.run.incremental import IncrementalScoring, agent_name
from memscope.run.run import Run
from memscope.scoring.events import Event, Progress
from memscope.session.nodes import Header, Session, Source
from memscope.store.database import Database
from memscope.training.samples import build_samples, training_data
from memscope.training.send import TrainingServer
from tests.conftest import ScorerAddress

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(session: Session, config: Config) -> AsyncIterator[Run]:
    database = Database(config.state_folder())
    run = Run(session, config, database)
    try:
        yield run
    finally:
        await run.close()
        database.close()


async def test_every_memory_advances_the_run_and_is_remembered(small_session: Session, config: Config) -> None:
    async with opened(small_session, config) as run:
        events: list[Event] = []
        run.listen(events.append)
        scoring = IncrementalScoring(run)
        result = await scoring.score()
        assert [event.done for event in events if isinstance(event, Progress)] == [1, 2, 3]
        assert {key: known.weight for key, known in scoring.remembered.items()} == {
            score.key: score.maximum for score in result.scored
        }
        assert (await scoring.score()).fresh == ("db/port", "mira/room", "retro/time")


async def test_new_weights_under_the_same_name_leave_no_number_fresh(
    small_session: Session, config: Config, trainer: ScorerAddress
) -> None:
    async with opened(small_session, msgspec.structs.replace(config, url=trainer.url)) as run:
        scoring = IncrementalScoring(run)
        before = await scoring.score()
        samples = build_samples(run.prompt, [0], "without", None)
        server = TrainingServer(run.transport)
        job = await server.submit(training_data(samples, run.rescorer.scorer.info.model), "a key")
        states = [state async for state in server.progress(job)]
        assert states[-1].status == "succeeded"
        after = await scoring.score()
        assert (len(after.scored), after.fresh) == (3, ())
        assert after.scored[0].maximum != before.scored[0].maximum
        assert {known.times for known in scoring.remembered.values()} == {1}


def test_an_agent_is_what_is_configured_else_the_header_else_the_file() -> None:
    plain = Session(header=Header(id="s1"), nodes=())
    assert agent_name(plain, Config()) == "s1"
    filed = msgspec.structs.replace(plain, source=Source(path="/data/a.jsonl"))
    assert agent_name(filed, Config()) == "/data/a.jsonl"
    headed = msgspec.structs.replace(filed, header=Header(id="s1", extra={"agent": "mira"}))
    assert agent_name(headed, Config()) == "mira"
    assert agent_name(headed, Config(agent="tom")) == "tom"
    odd = msgspec.structs.replace(filed, header=Header(id="s1", extra={"agent": 5}))
    assert agent_name(odd, Config()) == "/data/a.jsonl"
