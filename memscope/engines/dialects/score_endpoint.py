"""`POST /v1/score` with ids and ranges: memscope's own scorer, and servers that implement the same endpoint."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from memscope.engines.base import Range, Scored
from memscope.engines.decoding import decode_json
from memscope.engines.dialects.base import Features
from memscope.engines.dialects.completions import CompletionsDialect, Usage
from memscope.engines.logprobs import checked_scores

__all__ = ["ScoreEndpoint"]

_TOKENS_TO_READ_IN_THREAD = 10_000


class _Score(msgspec.Struct):
    total_logprob: float
    token_logprobs: list[float] | None = None


class _ScoreReply(msgspec.Struct):
    scores: list[_Score]
    usage: Usage = msgspec.field(default_factory=Usage)
    weights: str = ""


class ScoreEndpoint(CompletionsDialect):
    """Returns sums and token values of the ranges only, reusing prefixes that the server has cached."""

    name = "score"
    path = "/v1/score"
    features = Features(prefix_reuse=True)

    async def score(
        self, ids: array[int], ranges: Sequence[Range], *, priority: int | None = None, second_path: bool = False
    ) -> Scored:
        """See `Dialect.score`."""
        fields: dict[str, Any] = {"prompt": list(ids), "score_ranges": list(ranges), "logprobs": 1}
        if second_path:
            fields["alternate_path"] = True
        body = await self.served.post(self.path, fields, priority)
        if len(ids) < _TOKENS_TO_READ_IN_THREAD:
            return read_scores(body, ids, ranges)
        return await asyncio.to_thread(read_scores, body, ids, ranges)


def read_scores(body: bytes, ids: array[int], ranges: Sequence[Range]) -> Scored:
    """Parse the response to a request for these ranges.

    Raises:
        ScorerError: It does not match the request.
    """
    reply = decode_json(body, _ScoreReply, "a reply with scores[*].total_logprob")
    tokens = [score.token_logprobs for score in reply.scores]
    arrays, totals = checked_scores(tokens, ranges, [score.total_logprob for score in reply.scores])
    forwarded = reply.usage.computed_tokens if reply.usage.computed_tokens >= 0 else len(ids)
    return Scored(tokens=arrays, totals=totals, forwarded=forwarded, weights=reply.weights)
