"""Adapt the number of concurrent requests to the throughput of a server."""

from __future__ import annotations

__all__ = ["ConcurrencyLimit"]

_MIN_SPEEDUP = 1.05
"""A higher limit is kept only if it increased throughput by this factor."""


class ConcurrencyLimit:
    """A limit on concurrent requests that increases while throughput rises and halves on a timeout."""

    def __init__(self, *, start: int = 1, cap: int = 16) -> None:
        self.limit = min(start, cap)
        self._cap = cap
        self._best = 0.0
        self._began: float | None = None
        self._work = 0
        self._calls = 0
        self._settled = self.limit >= cap

    def done(self, tokens: int, now: float) -> None:
        """Record a request that succeeded at time `now` (seconds) and scored `tokens` tokens."""
        if self._began is None:
            self._began = now
            return
        self._work += tokens
        self._calls += 1
        if self._settled or self._calls < 2 * self.limit:
            return
        throughput = self._work / max(now - self._began, 1e-9)
        if throughput > _MIN_SPEEDUP * self._best and self.limit < self._cap:
            self._best = throughput
            self.limit += 1
        else:
            self.limit = max(1, self.limit - 1)
            self._settled = True
        self._restart(now)

    def timed_out(self, now: float) -> None:
        """Record a request that timed out."""
        self.limit = max(1, self.limit // 2)
        self._settled = True
        self._restart(now)

    def _restart(self, now: float) -> None:
        self._began, self._work, self._calls = now, 0, 0
