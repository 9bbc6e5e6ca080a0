"""vLLM's `POST /v1/completions` with `prompt_logprobs`: every request is a full prefill."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence

import msgspec

from memscope.engines.base import Range, Scored
from memscope.engines.decoding import decode_json
from memscope.engines.dialects.base import Features
from memscope.engines.dialects.completions import CompletionsDialect, Usage
from memscope.engines.logprobs import checked_scores
from memscope.errors import ScorerError

__all__ = ["PromptLogprobs"]

_TOKENS_TO_READ_IN_THREAD = 1_000


class _Position(msgspec.Struct):
    logprob: float


class _PromptChoice(msgspec.Struct):
    prompt_logprobs: list[dict[str, _Position] | None] | None = None


class _PromptReply(msgspec.Struct):
    choices: list[_PromptChoice]
    usage: Usage = msgspec.field(default_factory=Usage)


class PromptLogprobs(CompletionsDialect):
    """Returns a value for every prompt token; one token must be generated, which counts against the context."""

    name = "prompt_logprobs"
    path = "/v1/completions"
    features = Features(reserved_tokens=1)

    async def score(
        self, ids: array[int], ranges: Sequence[Range], *, priority: int | None = None, second_path: bool = False
    ) -> Scored:
        """See `Dialect.score`; `second_path` is ignored, since the server has only one path."""
        del second_path
        fields = {
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
        }
        body = await self.served.post(self.path, fields, priority)
        if len(ids) < _TOKENS_TO_READ_IN_THREAD:
            return read_prompt_logprobs(body, ids, ranges)
        return await asyncio.to_thread(read_prompt_logprobs, body, ids, ranges)


def read_prompt_logprobs(body: bytes, ids: array[int], ranges: Sequence[Range]) -> Scored:
    """Parse the response to a request for prompt log-probabilities.

    Raises:
        ScorerError: It does not match the request.
    """
    reply = decode_json(body, _PromptReply, "a reply with choices[0].prompt_logprobs")
    values = reply.choices[0].prompt_logprobs if reply.choices else None
    if values is None:
        raise ScorerError("the server ignored prompt_logprobs")
    if len(values) != len(ids):
        raise ScorerError(f"the server returned prompt_logprobs for {len(values)} of {len(ids)} tokens")
    if reply.usage.prompt_tokens not in (-1, len(ids)):
        raise ScorerError(f"the server counted {reply.usage.prompt_tokens} prompt tokens instead of {len(ids)}")
    tokens = [[_at(values, ids, position) for position in range(start, end)] for start, end in ranges]
    arrays, totals = checked_scores(tokens, ranges)
    return Scored(tokens=arrays, totals=totals, forwarded=len(ids))


def _at(values: list[dict[str, _Position] | None], ids: array[int], position: int) -> float:
    entry = (values[position] or {}).get(str(ids[position]))
    if entry is None:
        raise ScorerError(f"the server returned no log-probability for token {position}")
    return entry.logprob
