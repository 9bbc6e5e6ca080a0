"""Keep the agent talking to the scorer of a run whose session is the recording of what it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from memscope.demo.live.recorded import RecordedAgent
from memscope.errors import MemscopeError
from memscope.run.following import Following
from memscope.run.run import Run
from memscope.scoring.events import Event, Notice, ScorerReady
from memscope.session.follow import FollowedFile

__all__ = ["TalkedFollowing", "keep_talking"]


class TalkedFollowing(Following):
    """Follows a recording and keeps the agent talking that it is of."""

    def __init__(self, run: Run, file: FollowedFile, notices: Sequence[str], recording: Path, pace: float) -> None:
        """Create it; nothing happens before `follow`.

        Args:
            run: The run.
            file: The recording, as it is followed.
            notices: What the first look at it found.
            recording: The path of the recording.
            pace: Seconds between two turns.
        """
        super().__init__(run, file, notices)
        self._recording, self._pace = recording, pace

    async def follow(self) -> None:
        """Follow, and keep the agent talking, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(super().follow())
            group.create_task(keep_talking(self._run, self._recording, self._pace))


async def keep_talking(run: Run, recording: Path, pace: float) -> None:
    """Let an agent talk to the run's scorer, and another one whenever the scorer was restarted, until cancelled.

    Args:
        run: The run; it is opened.
        recording: The recording of what the agents say.
        pace: Seconds between two turns.
    """
    ready = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, ScorerReady):
            ready.set()

    stop_listening = run.listen(listen)
    try:
        with contextlib.suppress(MemscopeError):  # the run has reported it
            await run.open()
        talked_to = ""
        while True:
            while run.scorer is None or not run.is_open or run.scorer.url == talked_to:
                ready.clear()
                await ready.wait()
            talked_to = run.scorer.url
            run.emit(Notice("an agent is talking; its newest response is the last column"))
            run.emit(Notice(await _talk(run, recording, pace)))
    finally:
        stop_listening()


async def _talk(run: Run, recording: Path, pace: float) -> str:
    agent = await RecordedAgent.start(f"{run.transport.root}/v1", run.transport.api_key, recording, pace)
    try:
        failure = await agent.wait()
    finally:
        await agent.stop()
    return f"the agent stopped: {failure}" if failure else f"the agent has finished; its recording is {recording}"
