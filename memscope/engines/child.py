"""The embedded scorer: `memscope serve` as a child process on loopback with a random token."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys

import msgspec

from memscope.engines.process import ChildProcess
from memscope.errors import ScorerGoneError
from memscope.secret import Secret

__all__ = ["EmbeddedServer"]

_START_SECONDS = 300.0
_BACKGROUND_NICENESS = 10
_DEATH_SECONDS = 0.5
"""How long to wait for the exit of a scorer that does not answer."""
_TOKEN_VARIABLE = "MEMSCOPE_SERVE_TOKEN"  # noqa: S105


class _Announcement(msgspec.Struct):
    port: int


class EmbeddedServer:
    """A running scorer. Create it with `start`.

    Attributes:
        url: Its base URL.
        token: The API key that it requires.
    """

    def __init__(self, process: ChildProcess, token: Secret) -> None:
        self.url = ""
        self.token = token
        self._process = process

    @classmethod
    async def start(cls, model: str | None, *, in_background: bool = False) -> EmbeddedServer:
        """Start a scorer and wait until it is ready.

        Args:
            model: A model folder or hub name; None for the bundled model.
            in_background: Whether other processes take precedence over it, such as an agent at work.

        Raises:
            ScorerGoneError: It exited, or printed nothing for five minutes; the message has its last line.
        """
        token = Secret(secrets.token_urlsafe(32))
        command = [sys.executable, "-P", "-m", "memscope.server", "--port", "0", "--as-child"]
        command += ["--served-name", "memscope-demo"] if model is None else ["--model", model]
        environ = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"), _TOKEN_VARIABLE: token.reveal()}
        server = cls(await ChildProcess.start(command, environ, stdout=True), token)
        if in_background:
            with contextlib.suppress(OSError):  # it may have exited, which is reported below
                os.setpriority(os.PRIO_PROCESS, server.pid, _BACKGROUND_NICENESS)
        try:
            server.url = await server._wait_for_announcement()
        except BaseException:
            await server.stop()
            raise
        return server

    def last_lines(self) -> tuple[str, ...]:
        """Return its last lines on stderr."""
        return self._process.last_lines()

    async def final_output(self) -> tuple[str, ...]:
        """Return its last lines on stderr, and its exit status if it has exited."""
        with contextlib.suppress(TimeoutError):
            status = await asyncio.wait_for(self._process.wait(), _DEATH_SECONDS)
            return (*self.last_lines(), _ended(status))
        return self.last_lines()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def stop(self) -> None:
        """Stop it: SIGTERM first, then SIGKILL."""
        await self._process.stop()

    async def _wait_for_announcement(self) -> str:
        while line := await self._line():
            with contextlib.suppress(msgspec.DecodeError):  # libraries may print other lines before
                return f"http://127.0.0.1:{msgspec.json.decode(line, type=_Announcement).port}/v1"
        status = await self._process.wait()
        lines = self.last_lines()
        said = lines[-1].removeprefix("memscope: ") if lines else f"exit status {status}"
        raise ScorerGoneError(f"the embedded scorer did not start: {said}")

    async def _line(self) -> bytes:
        """Wait for a line as long as the child prints anything: it may have to download a model first."""
        process, loop = self._process, asyncio.get_running_loop()
        reading = asyncio.ensure_future(process.stdout.readline())
        process.heard = loop.time()
        try:
            while not reading.done():
                left = process.heard + _START_SECONDS - loop.time()
                if left <= 0:
                    raise ScorerGoneError(f"the embedded scorer printed nothing for {_START_SECONDS:.0f} s")
                await asyncio.wait({reading}, timeout=left)
            return reading.result()
        except ValueError:
            return b"\n"  # the line exceeds the limit of the stream reader
        finally:
            reading.cancel()


def _ended(status: int) -> str:
    if status >= 0:
        return f"the scorer exited with status {status}"
    name = signal.Signals(-status).name
    return f"the scorer was killed by {name}" + (" (possibly out of memory)" if name == "SIGKILL" else "")
