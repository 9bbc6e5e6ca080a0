"""Exit with the parent process, however it ends, including SIGKILL.

There are three independent mechanisms: end of file on standard input (the parent holds the other end of the pipe),
Linux's parent-death signal, and periodic checks of the parent's process id.
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
    """Exit immediately at end of file on standard input."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="memscope-stdin", daemon=True).start()


def end_with_parent(parent: int) -> None:
    """Exit immediately when `parent` is no longer the parent process. Call on the main thread."""
    if sys.platform == "linux":
        # The signal is sent when the *thread* that started us ends, so check the parent again.
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
