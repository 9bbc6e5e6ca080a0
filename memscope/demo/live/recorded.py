"""The demo's agent under `memscope record`, as child processes that end with this one.

`memscope record` waits for the agent, and the agent ends when its own parent or this process does: it inherits the
standard input whose other end is held here. So no process is left, whichever of them is killed.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from memscope.engines.process import ChildProcess
from memscope.secret import Secret

__all__ = ["RecordedAgent"]

_AGENT_SAYS = "agent: "
_KILLED_STATUS = 128
"""What `memscope record` adds to the signal that killed its command."""


class RecordedAgent:
    """A running agent whose calls are recorded. Create it with `start`."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, api_key: Secret | None, recording: Path, pace: float) -> RecordedAgent:
        """Start an agent and its recorder.

        Args:
            url: The base URL of the server that answers, with `/v1`.
            api_key: Its API key.
            recording: The recording, which is created or continued.
            pace: Seconds between two turns.
        """
        agent = [sys.executable, "-P", "-m", "memscope.demo.live.agent", "--as-child", "--pace", str(pace)]
        record = [sys.executable, "-P", "-m", "memscope", "record", "--to", url, "--out", str(recording), "--"]
        environ = {"OPENAI_API_KEY": api_key.reveal() if api_key is not None else ""}
        return cls(await ChildProcess.start([*record, *agent], environ, stdout=False))

    @property
    def pid(self) -> int:
        """The process id of the recorder."""
        return self._process.pid

    async def wait(self) -> str | None:
        """Wait for its end; return why it failed, on one line, or None if it took all turns."""
        status = await self._process.wait()
        if status == 0:
            return None
        if (killed := -status if status < 0 else status - _KILLED_STATUS) > 0:
            return f"killed by {signal.Signals(killed).name}"
        lines = self._process.last_lines()
        said = [line for line in lines if line.startswith(_AGENT_SAYS)] or [*lines] or [f"exit status {status}"]
        return said[-1].removeprefix(_AGENT_SAYS)

    async def stop(self) -> None:
        """Stop both processes."""
        await self._process.stop()
