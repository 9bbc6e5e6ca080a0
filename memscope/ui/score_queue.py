"""A queue of scoring requests to the run, processed one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from memscope.errors import MemscopeError
from memscope.scoring.grid import Measure

if TYPE_CHECKING:
    from memscope.run.run import Run

__all__ = ["ScoreQueue", "ScoreRequest"]


class ScoreRequest(msgspec.Struct, frozen=True):
    """The arguments of one `Run.matrix` call; `restart` restarts the scorer before it."""

    measure: Measure
    keys: Sequence[str] | None = None
    responses: Sequence[str] | None = None
    fresh: bool = False
    restart: bool = False


class ScoreQueue:
    """Processes requests in a task. Errors are reported by events of the run."""

    def __init__(self, run: Run, start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        self._run = run
        self._start = start
        self._waiting: deque[ScoreRequest] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being processed."""
        return self._task is not None and not self._task.done()

    def add(self, request: ScoreRequest) -> None:
        """Append a request."""
        self._waiting.append(request)
        if not self.busy:
            self._task = self._start(self._work())

    def stop(self) -> None:
        """Drop waiting requests and stop the current one; finished rows are kept."""
        self._waiting.clear()
        self._run.cancel()

    async def _work(self) -> None:
        while self._waiting:
            request = self._waiting.popleft()
            try:
                if request.restart:
                    await self._run.restart_scorer()
                await self._run.matrix(
                    request.measure, keys=request.keys, responses=request.responses, fresh=request.fresh
                )
            except MemscopeError:
                # The run has reported the error, and waiting requests would fail in the same way.
                self._waiting.clear()
