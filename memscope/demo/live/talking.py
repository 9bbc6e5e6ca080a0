"""Keep the agent talking to the scorer of a run."""

from __future__ import annotations

import asyncio
from pathlib import Path

from memscope.demo.live.recorded import RecordedAgent
from memscope.run.run import Run
from memscope.scoring.events import Event, Notice, ScorerReady

__all__ = ["keep_talking"]


async def keep_talking(run: Run, recording: Path, pace: float) -> None:
    """Let an agent talk to the run's scorer, and another one whenever the scorer was restarted, until cancelled.

    Args:
        run: The run; it is opened.
        recording: The recording of what the agents say.
        pace: Seconds between two turns.

    Raises:
        MemscopeError: No scorer is available.
    """
    ready = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, ScorerReady):
            ready.set()

    stop_listening = run.listen(listen)
    try:
        await run.open()
        talked_to = ""
        while True:
            while run.scorer is None or not run.is_open or run.scorer.url == talked_to:
                ready.clear()
                await ready.wait()
            talked_to = run.scorer.url
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
