"""One thread computes: by priority within a lane, and no lane waits for another's whole duration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from memscope.server.compute.worker import Steps, Worker
from memscope.server.errors import ApiError

pytestmark = pytest.mark.anyio


@pytest.fixture
async def worker(anyio_backend: str) -> AsyncIterator[Worker]:
    worker = Worker()
    yield worker
    worker.stop(5)


def _noted(log: list[str], name: str, steps: int) -> Steps[str]:
    for _ in range(steps):
        log.append(name)
        yield
    return name


async def test_results_and_errors_come_back(worker: Worker) -> None:
    def failing() -> Steps[None]:
        yield
        raise ApiError(500, "no")

    worker.start()
    assert await worker.run(lambda: _noted([], "a", 3), lane="score", priority=0) == "a"
    with pytest.raises(ApiError, match="no"):
        await worker.run(failing, lane="score", priority=0)


async def test_a_lane_runs_whole_requests_by_priority_then_by_arrival(worker: Worker) -> None:
    log: list[str] = []
    asked = [("late", 5), ("first", 0), ("second", 0), ("urgent", -5)]
    waiting = [
        asyncio.ensure_future(worker.run(lambda name=name: _noted(log, name, 2), lane="score", priority=priority))  # type: ignore[misc]
        for name, priority in asked
    ]
    await asyncio.sleep(0)
    worker.start()
    await asyncio.gather(*waiting)
    assert log == ["urgent"] * 2 + ["first"] * 2 + ["second"] * 2 + ["late"] * 2


@pytest.mark.parametrize(("score", "generation"), [(5, -5), (-5, 5), (0, 0)])
async def test_neither_lane_waits_for_the_others_whole_duration(worker: Worker, score: int, generation: int) -> None:
    log: list[str] = []
    waiting = [
        asyncio.ensure_future(worker.run(lambda: _noted(log, "token", 500), lane="generate", priority=generation)),
        asyncio.ensure_future(worker.run(lambda: _noted(log, "chunk", 500), lane="score", priority=score)),
    ]
    await asyncio.sleep(0)
    worker.start()
    await asyncio.gather(*waiting)
    first = log[:500]
    assert first.count("token") > 20
    assert first.count("chunk") > 20


async def test_a_cancelled_request_stops_between_steps_and_closes(worker: Worker) -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()
    started = asyncio.Event()

    def endless() -> Steps[None]:
        try:
            while True:
                loop.call_soon_threadsafe(started.set)
                yield
        finally:
            loop.call_soon_threadsafe(closed.set)

    worker.start()
    running = asyncio.ensure_future(worker.run(endless, lane="generate", priority=0))
    await started.wait()
    running.cancel()
    await closed.wait()
    assert await worker.run(lambda: _noted([], "next", 1), lane="generate", priority=0) == "next"


async def test_a_stopped_worker_takes_nothing_more(worker: Worker) -> None:
    worker.start()
    assert worker.stop(5)
    with pytest.raises(ApiError, match="shutting down"):
        await worker.run(lambda: _noted([], "a", 1), lane="score", priority=0)
