"""A child process that ends with this one.

It must exit with its parent, however the parent ends. It reads a pipe whose only write end is held by the parent, and
exits at end of file: after exit, crash or SIGKILL of the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence

__all__ = ["ChildProcess"]

_LINES_KEPT = 20
_PIECE_BYTES = 1 << 16
_STOP_SECONDS = 3.0


class ChildProcess:
    """A running child process that watches its standard input. Create it with `start`.

    Attributes:
        heard: When it last wrote to stderr, as the event loop's time.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.heard = 0.0
        self._process = process
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._reader = asyncio.create_task(self._read_errors())

    @classmethod
    async def start(cls, command: Sequence[str], environ: Mapping[str, str], *, stdout: bool) -> ChildProcess:
        """Start a command that exits at end of file on standard input.

        Args:
            command: The program and its arguments.
            environ: Variables in addition to those of this process.
            stdout: Whether its standard output is read here; else it is discarded.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if stdout else asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **environ},
            start_new_session=True,  # ctrl+c in the terminal is handled by the parent, which stops the child
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdout(self) -> asyncio.StreamReader:
        """Its standard output."""
        if self._process.stdout is None:
            raise RuntimeError("a child without stdout")
        return self._process.stdout

    def last_lines(self) -> tuple[str, ...]:
        """Return its last lines on stderr."""
        return tuple(self._lines)

    async def wait(self) -> int:
        """Wait for its end and the end of its output; return its exit status, negative for a signal."""
        status = await self._process.wait()
        await asyncio.shield(self._reader)  # whoever waits may be cancelled
        return status

    async def stop(self) -> None:
        """Stop it: SIGTERM first, then SIGKILL."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self.wait()

    async def _read_errors(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            raise RuntimeError("a child without stderr")
        rest = b""
        while piece := await stderr.read(_PIECE_BYTES):
            self.heard = asyncio.get_running_loop().time()
            *lines, rest = (rest + piece).split(b"\n")
            self._lines.extend(line.decode("utf-8", "replace").rstrip() for line in lines)
            rest = rest[-_PIECE_BYTES:]
        if rest:
            self._lines.append(rest.decode("utf-8", "replace").rstrip())
