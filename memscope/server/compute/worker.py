"""The worker thread that computes, and its scheduling of requests.

A request is a generator that does a little work between its yields (a chunk of a prompt, a token of a text). Scoring
and generating are two lanes; within a lane, requests run one after another by priority, then by arrival, so that each
one finds the prefix its predecessor left. The lanes share the thread by time: the one with the more urgent request gets
three quarters, and neither ever waits for the other's whole duration.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import torch

from memscope.server.errors import ApiError

__all__ = ["Lane", "Steps", "Worker"]

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
Lane: TypeAlias = Literal["score", "generate"]

_URGENT_SHARE = 3.0


class _Task(Generic[T]):
    """The work of one request and the future of its result."""

    def __init__(self, steps: Callable[[], Steps[T]], priority: int, order: int) -> None:
        self._make = steps
        self._steps: Steps[T] | None = None
        self.priority = priority
        self.order = order
        self.future: Future[T] = Future()
        self.future.set_running_or_notify_cancel()  # so that a cancelled waiter cannot make it refuse its outcome
        self.cancelled = False

    def __lt__(self, other: _Task[Any]) -> bool:
        return (self.priority, self.order) < (other.priority, other.order)

    def step(self) -> bool:
        """Run until the next yield; return whether the task is done."""
        try:
            if self._steps is None:
                self._steps = self._make()
            if self.cancelled:
                self._steps.close()
                return True
            next(self._steps)
        except StopIteration as stop:
            self.future.set_result(stop.value)
            return True
        except BaseException as error:
            self.future.set_exception(error)
            return True
        return False


class Worker:
    """Runs requests step by step on its own thread."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[_Task[Any]]] = {"score": [], "generate": []}
        self._spent: dict[Lane, float] = {"score": 0.0, "generate": 0.0}
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="memscope-compute", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Stop after the current step; return whether the thread ended within `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    async def run(self, steps: Callable[[], Steps[T]], *, lane: Lane, priority: int) -> T:
        """Run `steps()` on the worker's thread; cancelling this coroutine stops it between two steps.

        Args:
            steps: Creates the generator, on the worker's thread, when it is scheduled.
            lane: The kind of work.
            priority: Lower is earlier, within the lane; the lane with the lowest priority gets most of the time.
        """
        task = _Task(steps, priority, next(self._order))
        self._submit(lane, task)
        try:
            return await asyncio.wrap_future(task.future)
        finally:
            task.cancelled = True

    def _submit(self, lane: Lane, task: _Task[Any]) -> None:
        with self._changed:
            if self._stopping:
                raise ApiError(503, "the scorer is shutting down")
            if not self._lanes[lane]:
                # An idle lane does not accumulate unused time.
                self._spent[lane] = max(self._spent.values())
            heapq.heappush(self._lanes[lane], task)
            self._changed.notify()

    def _run(self) -> None:
        with torch.inference_mode():
            while (chosen := self._next()) is not None:
                lane, task = chosen
                began = time.perf_counter()
                over = task.step()
                self._account(lane, time.perf_counter() - began)
                if over:
                    self._remove(lane, task)

    def _next(self) -> tuple[Lane, _Task[Any]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or any(self._lanes.values()))
            if self._stopping:
                return None
            lane = min((lane for lane in self._lanes if self._lanes[lane]), key=self._claim)
            return lane, self._lanes[lane][0]

    def _claim(self, lane: Lane) -> tuple[float, int]:
        return self._spent[lane], self._lanes[lane][0].priority

    def _account(self, lane: Lane, seconds: float) -> None:
        with self._changed:
            heads = {name: tasks[0].priority for name, tasks in self._lanes.items() if tasks}
            urgent = heads.get(lane, 0) <= min(heads.values())
            self._spent[lane] += seconds / (_URGENT_SHARE if urgent else 1.0)

    def _remove(self, lane: Lane, task: _Task[Any]) -> None:
        with self._changed:
            self._lanes[lane].remove(task)
            heapq.heapify(self._lanes[lane])
