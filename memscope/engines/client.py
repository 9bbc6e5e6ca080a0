"""A scorer over HTTP: one model on one server, using one dialect."""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from msgspec.structs import replace

from memscope.engines.base import Range, Sampling, Scored, ScorerInfo
from memscope.engines.concurrency import ConcurrencyLimit
from memscope.engines.dialects import Dialect
from memscope.engines.probe import identify, open_dialect, with_verification
from memscope.engines.transport import TimedOutError, Transport
from memscope.engines.trust import TrustMonitor

__all__ = ["SCORING_PRIORITY", "HttpScorer", "connect"]

SCORING_PRIORITY = 5
"""Scoring yields to interactive requests on servers with priorities (lower is earlier)."""

_OTHER_WEIGHTS = "changed"
"""The fingerprint assigned to scores when the server's numbers show that its weights changed."""


class HttpScorer:
    """Implements `memscope.engines.base.Scorer`."""

    def __init__(self, dialect: Dialect, info: ScorerInfo, trust: TrustMonitor | None, *, cap: int) -> None:
        self.info = info
        self._dialect = dialect
        self._trust = trust
        self._trained_by = ""
        # A server that reuses prefixes computes one request at a time; a second one only hides the round trip.
        self._pace = ConcurrencyLimit(start=2, cap=2) if info.reuses_prefixes else ConcurrencyLimit(cap=cap)

    @property
    def transport(self) -> Transport:
        """The connection to the server."""
        return self._dialect.served.transport

    @property
    def concurrency(self) -> int:
        """The number of concurrent requests that is currently useful."""
        return self._pace.limit

    async def score(self, ids: array[int], ranges: Sequence[Range], *, second_path: bool = False) -> Scored:
        """See `memscope.engines.base.Scorer.score`."""
        try:
            scored = await self._dialect.score(ids, ranges, priority=SCORING_PRIORITY, second_path=second_path)
        except TimedOutError:
            self._pace.timed_out(time.monotonic())
            raise
        self._pace.done(len(ids), time.monotonic())
        if self._trust is not None and not await self._trust.confirm(ids):
            return replace(scored, weights=_OTHER_WEIGHTS)
        return scored

    def generate(self, ids: array[int], sampling: Sampling, stop: Collection[int]) -> AsyncIterator[tuple[int, ...]]:
        """See `memscope.engines.base.Scorer.generate`."""
        return self._dialect.generate(ids, sampling, stop)

    def note_training(self, job: str) -> None:
        """See `memscope.engines.base.Scorer.note_training`."""
        self._trained_by = job

    async def refresh(self) -> ScorerInfo:
        """See `memscope.engines.base.Scorer.refresh`."""
        before, self.info = self.info, await self._identified()
        if before.weights != self.info.weights or (self._trust and not self._trust.weights_unchanged):
            self.info = await with_verification(self._dialect, self.info)
            self._trust = self._trust and await TrustMonitor.begin(self._dialect, self.info)
        return self.info

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def _identified(self) -> ScorerInfo:
        known, job = self.info, self._trained_by
        # Numbers that differ only by noise count as the same weights, unless a change of weights is known.
        others = job or (self._trust and not self._trust.weights_unchanged)
        info = await identify(self._dialect, None if others else known)
        if job and info.canary:
            info = replace(info, weights=f"{info.weights}+{job}")
        self._trained_by = ""
        return replace(info, kind=known.kind, notes=known.notes, verified=known.verified)


async def connect(
    transport: Transport,
    model: str | None = None,
    dialect: str = "auto",
    *,
    kind: str | None = None,
    watched: bool = True,
    on_wait: Callable[[str], None] = lambda _: None,
) -> HttpScorer:
    """Connect to a scorer and choose a dialect.

    Args:
        transport: The connection; closed if this fails.
        model: The served model name; None if there is only one.
        dialect: "auto", or the name of the dialect to use.
        kind: The kind of scorer, if it is already known.
        watched: Whether to check its numbers after every request; not needed for an own process.
        on_wait: Called with one line while waiting for a server that is still loading its model.

    Raises:
        ScorerError: The server cannot score prompts, or its numbers fail the check; the message says what was tried.
    """
    try:
        chosen, info = await open_dialect(transport, model, dialect, on_wait)
        trust = await TrustMonitor.begin(chosen, info) if watched else None
    except BaseException:
        await transport.close()
        raise
    # Concurrent prompt log-probabilities crash engines that serve adapters.
    cap = 1 if any("adapter" in note for note in info.notes) else 16
    return HttpScorer(chosen, replace(info, kind=kind or info.kind), trust, cap=cap)
