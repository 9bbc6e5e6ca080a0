"""Wait for the running app in screenshots, and save one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from memscope.ui.app import MemscopeApp

__all__ = ["save_picture", "until"]

_TIMEOUT_SECONDS = 300.0


async def until(reached: Callable[[], bool], pilot: Pilot[int]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It does not within five minutes.
    """
    async with asyncio.timeout(_TIMEOUT_SECONDS):
        while not reached():
            await pilot.pause(0.05)


async def save_picture(app: MemscopeApp, pilot: Pilot[int], folder: Path, name: str) -> Path:
    """Save the screen without its notifications once it is settled; the file is named by the picture and the size."""
    await pilot.pause(1.0)
    app.clear_notifications()
    await pilot.pause(0.2)
    path = folder / f"{name}-{app.size.width}x{app.size.height}.svg"
    app.save_screenshot(str(path))
    return path
