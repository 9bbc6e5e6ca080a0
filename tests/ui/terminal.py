"""The screen in a process of its own on a pseudo-terminal, for what no pilot can do: bytes, signals and crashes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType

PATIENCE_SECONDS = 20.0
SIZE = (100, 30)


class Terminal:
    """A program on a pseudo-terminal; what it wrote is in `output`."""

    def __init__(self, *argv: str, ignored: Sequence[signal.Signals] = (), **environment: str) -> None:
        self.output = b""
        self._status: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            os.environ.update({"TERM": "xterm-256color", "COLORTERM": "truecolor", **environment})
            os.execv(sys.executable, [sys.executable, *argv])
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self._before = termios.tcgetattr(self._fd)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is None:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def send(self, data: bytes) -> None:
        """Type."""
        os.write(self._fd, data)

    def until(self, seen: bytes | Callable[[bytes], bool], patience: float = PATIENCE_SECONDS) -> bytes:
        """Read until something was written since the last call; return what was written since then."""
        reached = seen if callable(seen) else lambda data: seen in data
        new, deadline = b"", time.monotonic() + patience
        while not reached(new):
            data = self._read()
            assert data and time.monotonic() < deadline, f"it was not written: {new[-2000:]!r}"
            new += data
        return new

    def hang_up(self) -> None:
        """Take the terminal away."""
        os.close(self._fd)
        self._fd = os.open(os.devnull, os.O_RDONLY)

    def end(self) -> int:
        """Read until the program ends; return its exit status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._read():
            assert time.monotonic() < deadline, f"the program goes on: {self.output[-2000:]!r}"
        _, status = os.waitpid(self.pid, 0)
        self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def wait(self) -> None:
        """Wait until a program whose terminal is gone ends."""
        ended = os.pidfd_open(self.pid)
        try:
            assert select.select([ended], [], [], PATIENCE_SECONDS)[0], "the program goes on"
        finally:
            os.close(ended)
        os.waitpid(self.pid, 0)
        self._status = 0

    @property
    def as_before(self) -> bool:
        """Whether the terminal's settings are what they were before the program."""
        return termios.tcgetattr(self._fd) == self._before

    def _read(self) -> bytes:
        if not select.select([self._fd], [], [], PATIENCE_SECONDS)[0]:
            return b""
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the program ended
            return b""
        self.output += data
        return data
