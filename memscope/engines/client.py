"""A scorer behind HTTP: one model on one server, asked in one dialect."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator, Collection, Sequence

from msgspec.structs import replace

from memscope.engines.base import Range, Sampling, Scored, ScorerInfo
from memscope.engines.dialects import Dialect
from memscope.engines.generation import stream_completion
from memscope.engines.pace import Pace
from memscope.engines.probe import identify, open_dialect
from memscope.engines.transport import RefusedError, TimedOutError, Transport

__all__ = ["SCORING_PRIORITY", "HttpScorer", "connect"]

SCORING_PRIORITY = 5
"""Scoring yields to interactive requests where the server has priorities (lower is earlier)."""

_LARGE_REPLY_BYTES = 1 << 18


class HttpScorer:
    """Implements `memscope.engines.base.Scorer`."""

    def __init__(self, transport: Transport, dialect: Dialect, info: ScorerInfo, *, cap: int) -> None:
        self.info = info
        self.transport = transport
        self._dialect = dialect
        self._priority: int | None = SCORING_PRIORITY
        # A server that reuses prefixes computes one request at a time: a second one only hides the round trip.
        self._pace = Pace(start=2, cap=2) if info.reuses_prefixes else Pace(cap=cap)

    @property
    def concurrency(self) -> int:
        """How many requests are worth having under way at once, as of now."""
        return self._pace.limit

    async def score(self, ids: array[int], ranges: Sequence[Range], *, from_position: int | None = None) -> Scored:
        """See `memscope.engines.base.Scorer.score`."""
        try:
            body = await self._post(ids, ranges, from_position)
        except TimedOutError:
            self._pace.timed_out(time.monotonic())
            raise
        if len(body) > _LARGE_REPLY_BYTES:
            scored = await asyncio.to_thread(self._dialect.parse, body, ids, ranges)
        else:
            scored = self._dialect.parse(body, ids, ranges)
        self._pace.done(len(ids), time.monotonic())
        return scored

    def generate(self, ids: array[int], sampling: Sampling, stop: Collection[int]) -> AsyncIterator[tuple[int, ...]]:
        """See `memscope.engines.base.Scorer.generate`."""
        return stream_completion(self.transport, self.info.model, ids, sampling, stop)

    async def refresh(self) -> ScorerInfo:
        """Ask again who answers: weights change after training."""
        kind = self.info.kind
        self.info = replace(await identify(self.transport, self.info.model, self._dialect, self.info), kind=kind)
        return self.info

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def _post(self, ids: array[int], ranges: Sequence[Range], from_position: int | None) -> bytes:
        request = self._dialect.request(self.info.model, ids, ranges, self._priority, from_position)
        try:
            return await self.transport.post(self._dialect.path, request)
        except RefusedError as error:
            if self._priority is None or "priorit" not in error.text.lower():
                raise
            # Servers without priority scheduling may refuse the field; it is a courtesy, so it is dropped for good.
            self._priority = None
            request = self._dialect.request(self.info.model, ids, ranges, None, from_position)
            return await self.transport.post(self._dialect.path, request)


async def connect(
    transport: Transport, model: str | None = None, dialect: str = "auto", *, kind: str | None = None
) -> HttpScorer:
    """Find out what answers at an address and how to ask it.

    Args:
        transport: The address; closed when this fails.
        model: The served name; None takes the only one there is.
        dialect: "auto", or the name of the one to insist on.
        kind: What to call it, where that is known better than the server says.

    Raises:
        ScorerError: The server cannot score prompts, or its numbers fail the check; the line says what was tried.
    """
    try:
        chosen, info = await open_dialect(transport, model, dialect)
    except BaseException:
        await transport.close()
        raise
    # Concurrent prompt log-probabilities killed engines that serve adapters.
    cap = 1 if any("adapter" in note for note in info.notes) else 16
    return HttpScorer(transport, chosen, replace(info, kind=kind or info.kind), cap=cap)
