"""Items that work on another thread emits, as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

__all__ = ["Emit", "emitted"]

T = TypeVar("T")
R = TypeVar("R")
Emit: TypeAlias = Callable[[T], None]


async def emitted(work: Callable[[Emit[T]], Coroutine[Any, Any, R]]) -> AsyncGenerator[T | R, None]:
    """Yield what work emits, on any thread, and at last its result; closing the iterator cancels the work.

    Args:
        work: Starts the work, which calls its argument with every item.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[tuple[T] | None] = asyncio.Queue()

    def emit(item: T) -> None:
        loop.call_soon_threadsafe(arrived.put_nowait, (item,))

    running = asyncio.ensure_future(work(emit))
    running.add_done_callback(lambda _: arrived.put_nowait(None))
    try:
        while (wrapped := await arrived.get()) is not None:
            yield wrapped[0]
        yield await running
    finally:
        running.cancel()
