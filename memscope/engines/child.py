"""The embedded scorer: `memscope serve` as a child process on loopback with a random token.

The child must exit with its parent, however the parent ends. It reads a pipe whose only write end is held by the
parent, and exits at end of file: after exit, crash or SIGKILL of the parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections import deque

import msgspec

from memscope.errors import ScorerGoneError
from memscope.secret import Secret

__all__ = ["EmbeddedServer"]

_LINES_KEPT = 20
_PIECE_BYTES = 1 << 16
_START_SECONDS = 300.0
_STOP_SECONDS = 3.0
_DEATH_SECONDS = 0.5
"""How long to wait for the exit of a scorer that does not answer."""
_TOKEN_VARIABLE = "MEMSCOPE_SERVE_TOKEN"  # noqa: S105


class _Announcement(msgspec.Struct):
    port: int


class EmbeddedServer:
    """A running child process. Create it with `start`.

    Attributes:
        url: Its base URL.
        token: The API key that it requires.
    """

    def __init__(self, process: asyncio.subprocess.Process, token: Secret) -> None:
        self.url = ""
        self.token = token
        self._process = process
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._heard = 0.0
        self._reader = asyncio.create_task(self._read_errors())

    @classmethod
    async def start(cls, model: str | None) -> EmbeddedServer:
        """Start a scorer and wait until it is ready.

        Args:
            model: A model folder or hub name; None for the bundled model.

        Raises:
            ScorerGoneError: It exited, or printed nothing for five minutes; the message has its last line.
        """
        token = Secret(secrets.token_urlsafe(32))
        command = [sys.executable, "-P", "-m", "memscope.server", "--port", "0", "--as-child"]
        command += ["--served-name", "memscope-demo"] if model is None else ["--model", model]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, _TOKEN_VARIABLE: token.reveal()},
            start_new_session=True,  # ctrl+c in the terminal is handled by the parent, which stops the child
        )
        server = cls(process, token)
        try:
            server.url = await server._wait_for_announcement()
        except BaseException:
            await server.stop()
            raise
        return server

    def last_lines(self) -> tuple[str, ...]:
        """Return its last lines on stderr."""
        return tuple(self._lines)

    async def final_output(self) -> tuple[str, ...]:
        """Return its last lines on stderr, and its exit status if it has exited."""
        with contextlib.suppress(TimeoutError):
            status = await asyncio.wait_for(self._process.wait(), _DEATH_SECONDS)
            await self._reader
            return (*self._lines, _ended(status))
        return self.last_lines()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

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
            await self._process.wait()
        await self._reader

    async def _wait_for_announcement(self) -> str:
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeError("a child without stdout")
        while line := await self._line(stdout):
            with contextlib.suppress(msgspec.DecodeError):  # libraries may print other lines before
                return f"http://127.0.0.1:{msgspec.json.decode(line, type=_Announcement).port}/v1"
        await self._reader
        status = await self._process.wait()
        said = self._lines[-1].removeprefix("memscope: ") if self._lines else f"exit status {status}"
        raise ScorerGoneError(f"the embedded scorer did not start: {said}")

    async def _line(self, stdout: asyncio.StreamReader) -> bytes:
        """Wait for a line as long as the child prints anything: it may have to download a model first."""
        reading = asyncio.ensure_future(stdout.readline())
        self._heard = asyncio.get_running_loop().time()
        try:
            while not reading.done():
                left = self._heard + _START_SECONDS - asyncio.get_running_loop().time()
                if left <= 0:
                    raise ScorerGoneError(f"the embedded scorer printed nothing for {_START_SECONDS:.0f} s")
                await asyncio.wait({reading}, timeout=left)
            return reading.result()
        except ValueError:
            return b"\n"  # the line exceeds the limit of the stream reader
        finally:
            reading.cancel()

    async def _read_errors(self) -> None:
        stderr = self._process.stderr
        if stderr is None:
            raise RuntimeError("a child without stderr")
        rest = b""
        while piece := await stderr.read(_PIECE_BYTES):
            self._heard = asyncio.get_running_loop().time()
            *lines, rest = (rest + piece).split(b"\n")
            self._lines.extend(line.decode("utf-8", "replace").rstrip() for line in lines)
            rest = rest[-_PIECE_BYTES:]
        if rest:
            self._lines.append(rest.decode("utf-8", "replace").rstrip())


def _ended(status: int) -> str:
    if status >= 0:
        return f"the scorer exited with status {status}"
    name = signal.Signals(-status).name
    return f"the scorer was killed by {name}" + (" (possibly out of memory)" if name == "SIGKILL" else "")
