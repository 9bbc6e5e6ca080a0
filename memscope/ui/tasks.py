"""The screen's own tasks: never silent when they fail, and waited for when the screen is left.

Textual's workers are cancelled at the end but not waited for, and what they end themselves takes a moment: a scorer
that was being started is a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from textual.app import App

__all__ = ["Tasks"]


class Tasks:
    """Tasks that belong to one app."""

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task. An error that nobody caught ends the screen."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel what runs and wait until it has ended."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._app.call_later(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
