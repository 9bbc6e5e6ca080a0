"""Write finished calls in a thread of its own, so that parsing a long one delays no stream."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from memscope.record.exchange import Exchange

__all__ = ["Finisher"]


class Finisher:
    """Finishes exchanges one after the other, in the order in which they ended."""

    def __init__(self, report: Callable[[str], None]) -> None:
        """Make one; its thread starts with the first exchange.

        Args:
            report: Called with one line when a call could not be recorded.
        """
        self._report = report
        self._thread = ThreadPoolExecutor(1, "memscope-recording")

    def finish(self, exchange: Exchange, status: int | None, *, complete: bool, content_encoding: str) -> None:
        """Take an exchange whose response has ended; see `Exchange.finish`."""
        self._thread.submit(self._finish, exchange, status, complete, content_encoding)

    def close(self) -> None:
        """Wait until every exchange taken so far is written."""
        self._thread.shutdown()

    def _finish(self, exchange: Exchange, status: int | None, complete: bool, content_encoding: str) -> None:
        try:
            exchange.finish(status, complete=complete, content_encoding=content_encoding)
        except Exception as error:  # recording never fails a call; the message may quote one, so only its kind is shown
            self._report(f"a call could not be recorded ({type(error).__name__})")
