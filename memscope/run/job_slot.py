"""One job at a time: others wait for their turn, in the order in which they came."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from memscope.errors import MemscopeError

__all__ = ["JobSlot"]


class JobSlot:
    """Runs jobs one after another. Use it on one event loop only."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._job: asyncio.Task[None] | None = None

    @property
    def is_awaited(self) -> bool:
        """Whether another job waits for the current one to end."""
        return self._waiting > 0

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a job when its turn has come; cancelling this cancels the job and waits for its end."""
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            self._job = asyncio.create_task(work())
            await _ended(self._job)
        finally:
            self._turn.release()

    def cancel(self) -> None:
        """Cancel the current job."""
        if self._job is not None:
            self._job.cancel()

    async def close(self) -> None:
        """Cancel the current job and wait for its end."""
        if self._job is not None and not self._job.done():
            self._job.cancel()
            await asyncio.gather(self._job, return_exceptions=True)


async def _ended(job: asyncio.Task[None]) -> None:
    try:
        await asyncio.shield(job)
    except asyncio.CancelledError:
        if not job.cancelled():  # the caller was cancelled, not the job
            job.cancel()
            with contextlib.suppress(asyncio.CancelledError, MemscopeError):
                await job
            raise
