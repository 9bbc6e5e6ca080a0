"""Run a command so that ctrl+c shuts it down cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_to_end"]

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine in a new event loop.

    The first ctrl+c cancels it. Further ones are ignored: asyncio would raise KeyboardInterrupt during cleanup and
    leave a scorer running or print a traceback.

    Raises:
        KeyboardInterrupt: It was cancelled by ctrl+c.
    """
    before = signal.getsignal(signal.SIGINT)

    async def interruptible() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt(*_: object) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if task is not None:
                loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGINT, interrupt)
        try:
            return await work
        finally:
            if signal.getsignal(signal.SIGINT) is interrupt:
                signal.signal(signal.SIGINT, before)

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
