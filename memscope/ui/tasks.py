"""Background tasks of the screen, whose errors are never lost and which are awaited on exit.

Textual cancels its workers on exit without waiting for their cleanup, which may take a moment, such as stopping a
scorer process that is being started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from textual.app import App

__all__ = ["Tasks"]


class Tasks:
    """The tasks of one app."""

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task. An uncaught error ends the screen."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel all tasks and wait for them to end."""
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
