"""Passes what the user wants scored to the run, one wish after the other."""

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

__all__ = ["Conductor", "Wish"]


class Wish(msgspec.Struct, frozen=True):
    """One call of `Run.matrix`; `restart` starts the scorer anew before it."""

    measure: Measure
    keys: Sequence[str] | None = None
    responses: Sequence[str] | None = None
    fresh: bool = False
    restart: bool = False


class Conductor:
    """Owns the task that talks to the run. What goes wrong is announced by the run's events."""

    def __init__(self, run: Run, start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        self._run = run
        self._start = start
        self._wishes: deque[Wish] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a wish is being fulfilled."""
        return self._task is not None and not self._task.done()

    def ask(self, wish: Wish) -> None:
        """Fulfil a wish after those that wait."""
        self._wishes.append(wish)
        if not self.busy:
            self._task = self._start(self._work())

    def stop(self) -> None:
        """Forget what waits and end what runs; finished rows stay."""
        self._wishes.clear()
        self._run.cancel()

    async def _work(self) -> None:
        while self._wishes:
            wish = self._wishes.popleft()
            try:
                if wish.restart:
                    await self._run.restart_scorer()
                await self._run.matrix(wish.measure, keys=wish.keys, responses=wish.responses, fresh=wish.fresh)
            except MemscopeError:
                # The run has said what is wrong; whatever waits would meet the same trouble.
                self._wishes.clear()
