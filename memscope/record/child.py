"""Run the recorded command as if it had been started directly.

It inherits the standard streams, the open files and the process group, so it is in the foreground of the terminal
whenever memscope is, in a pipeline too. Signals that only memscope received are passed on to it. When job control
stops it, memscope stops as well, and the shell takes the terminal back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from memscope.errors import CommandError
from memscope.record.signals import block_signals

__all__ = ["Child", "describe_command", "find_command"]

_PASSED_ON = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTSTP,
    signal.SIGCONT,
)
_JOB_CONTROL_STOPS = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def find_command(program: str) -> None:
    """Check that a program can be run.

    Raises:
        CommandError: There is none (status 127), or it may not be executed (126).
    """
    if shutil.which(program) is not None:
        return
    if os.sep in program and Path(program).exists():
        raise CommandError(f"{program}: permission denied", 126)
    raise CommandError(f"{program}: command not found", 127)


def describe_command(command: Sequence[str]) -> str:
    """Return a command for display: the program and its script, without arguments, which may hold secrets."""
    program, *arguments = command or [""]
    script = arguments[0] if arguments and Path(arguments[0]).is_file() else ""
    return " ".join(filter(None, (Path(program).name, script)))


class Child:
    """The running command.

    Attributes:
        signals: The signals that are blocked in this process from now on; the caller reads them.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Start a command. Call it in a running event loop, before the process has any other thread.

        Raises:
            CommandError: It cannot be run (status 126 or 127).
        """
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a parent may have ignored it, and the exit status would be lost
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.signals = block_signals(_PASSED_ON)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running it is what the user asked for
                command,
                env=environ,
                close_fds=False,  # only those that were inherited are inheritable
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
            )
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            status = 127 if isinstance(error, FileNotFoundError) else 126
            raise CommandError(f"{command[0]}: {error.strerror or error}", status) from None
        watch = threading.Thread(target=self._watch, args=(self._ended.get_loop(),), name="memscope-child", daemon=True)
        watch.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def pass_on(self, number: int) -> None:
        """Send it a signal, unless it has ended. May be called from any thread."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def wait(self) -> int:
        """Wait for its end and return its exit status, or 128 plus the signal that killed it."""
        return await self._ended

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            _, status = os.waitpid(self._process.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            if os.WSTOPSIG(status) in _JOB_CONTROL_STOPS:
                os.kill(os.getpid(), signal.SIGSTOP)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        loop.call_soon_threadsafe(self._ended.set_result, code if code >= 0 else 128 - code)
