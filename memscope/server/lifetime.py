"""Ending with the parent, however it ends: even SIGKILL, which no process can announce.

Three watchers, any of which is enough: the end of standard input (the starter holds the pipe's other end), Linux's
parent-death signal, and a slow look at the parent's process id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

__all__ = ["end_with_parent", "end_with_stdin"]

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 1.0


def end_with_stdin() -> None:
    """End this process at once when standard input reaches its end."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="memscope-stdin", daemon=True).start()


def end_with_parent(parent: int) -> None:
    """End this process at once when process `parent` is no longer its parent. Call on the main thread."""
    if sys.platform == "linux":
        # The signal comes when the *thread* that started us ends, so it is only a reason to look.
        signal.signal(signal.SIGUSR2, lambda *_: _exit_if_orphaned(parent))
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGUSR2)
    _exit_if_orphaned(parent)

    def watch() -> None:
        while True:
            time.sleep(_POLL_SECONDS)
            _exit_if_orphaned(parent)

    threading.Thread(target=watch, name="memscope-parent", daemon=True).start()


def _exit_if_orphaned(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(0)
