"""Read signals in a thread, together with where they come from.

What the terminal sends (ctrl+c, ctrl+z, a closed window) reaches every process of the foreground group; what another
process sends may be meant for this one alone. Python's signal handlers cannot tell the two apart, `sigwaitinfo` can.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Collection

__all__ = ["block_signals", "read_signals"]

_SENT_BY_KERNEL = 0x80  # SI_KERNEL
_SENT_BY_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP)


def block_signals(numbers: Collection[signal.Signals]) -> frozenset[signal.Signals]:
    """Block signals in this thread and those it starts, except those that are ignored, which stay ignored.

    Returns:
        The signals that `read_signals` can read now.
    """
    blocked = frozenset(number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    return blocked


def read_signals(blocked: Collection[signal.Signals], handle: Callable[[int, bool], None]) -> None:
    """Call a function for each blocked signal that arrives, from a thread that runs until the process ends.

    Args:
        blocked: What `block_signals` returned.
        handle: Called with the signal and whether the terminal sent it to the whole foreground group.
    """

    def read() -> None:
        while True:
            handle(*_next_signal(blocked))

    threading.Thread(target=read, name="memscope-signals", daemon=True).start()


def _next_signal(blocked: Collection[signal.Signals]) -> tuple[int, bool]:
    if sys.platform == "darwin":  # it has no sigwaitinfo
        number = signal.sigwait(blocked)
        return number, number in _SENT_BY_TERMINAL and _in_foreground()
    received = signal.sigwaitinfo(blocked)
    return received.si_signo, received.si_code == _SENT_BY_KERNEL


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
