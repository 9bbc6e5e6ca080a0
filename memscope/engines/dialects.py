"""How to ask each kind of server for log-probabilities: a request to build, a reply to read, nothing else.

A dialect knows no network. To add one, add a class with `Dialect`'s shape and name it in `DIALECTS`, in the order in
which they should be tried.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from memscope.engines.base import Range, Scored, checked_scores
from memscope.errors import ScorerError

__all__ = ["DIALECTS", "Dialect", "PromptLogprobs", "ScoreEndpoint"]


class Dialect(Protocol):
    """One way to ask a server for the log-probabilities of tokens it is given."""

    name: str
    path: str

    def request(
        self, model: str, ids: array[int], ranges: Sequence[Range], priority: int | None, from_position: int | None
    ) -> dict[str, Any]:
        """Build the body of a request; `priority` None leaves the field out."""
        ...

    def parse(self, body: bytes, ids: array[int], ranges: Sequence[Range]) -> Scored:
        """Read a reply.

        Raises:
            ScorerError: It is not the answer to this request; servers ignore unknown fields with status 200.
        """
        ...


class _Score(msgspec.Struct):
    total_logprob: float
    token_logprobs: list[float] | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = -1
    computed_tokens: int = -1


class _ScoreReply(msgspec.Struct):
    scores: list[_Score]
    usage: _Usage = msgspec.field(default_factory=_Usage)
    weights: str = ""


class ScoreEndpoint:
    """`POST /v1/score` with ids and ranges: memscope's own scorer and servers patched for it."""

    name = "score"
    path = "/v1/score"

    def request(
        self, model: str, ids: array[int], ranges: Sequence[Range], priority: int | None, from_position: int | None
    ) -> dict[str, Any]:
        """See `Dialect`."""
        body: dict[str, Any] = {"model": model, "prompt": list(ids), "score_ranges": list(ranges), "logprobs": 1}
        if priority is not None:
            body["priority"] = priority
        if from_position is not None:
            body["max_cached_tokens"] = from_position
        return body

    def parse(self, body: bytes, ids: array[int], ranges: Sequence[Range]) -> Scored:
        """See `Dialect`."""
        reply = _decode(body, _ScoreReply, "scores[*].total_logprob")
        tokens = [score.token_logprobs for score in reply.scores]
        arrays, totals = checked_scores(tokens, ranges, [score.total_logprob for score in reply.scores])
        forwarded = reply.usage.computed_tokens if reply.usage.computed_tokens >= 0 else len(ids)
        return Scored(tokens=arrays, totals=totals, forwarded=forwarded, weights=reply.weights)


class _Position(msgspec.Struct):
    logprob: float


class _Choice(msgspec.Struct):
    prompt_logprobs: list[dict[str, _Position] | None] | None = None


class _CompletionReply(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage = msgspec.field(default_factory=_Usage)


class PromptLogprobs:
    """vLLM's `POST /v1/completions` with `prompt_logprobs: 0`; every request is a full prefill."""

    name = "prompt_logprobs"
    path = "/v1/completions"

    def request(
        self, model: str, ids: array[int], ranges: Sequence[Range], priority: int | None, from_position: int | None
    ) -> dict[str, Any]:
        """See `Dialect`; `ranges` and `from_position` mean nothing to this server."""
        del ranges, from_position
        body: dict[str, Any] = {
            "model": model,
            "prompt": list(ids),
            "max_tokens": 1,
            "temperature": 0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
        }
        if priority is not None:
            body["priority"] = priority
        return body

    def parse(self, body: bytes, ids: array[int], ranges: Sequence[Range]) -> Scored:
        """See `Dialect`."""
        reply = _decode(body, _CompletionReply, "choices[0].prompt_logprobs")
        values = reply.choices[0].prompt_logprobs if reply.choices else None
        if values is None:
            raise ScorerError("the server ignored prompt_logprobs")
        if len(values) != len(ids):
            raise ScorerError(f"the server answered prompt_logprobs for {len(values)} tokens of {len(ids)}")
        if reply.usage.prompt_tokens not in (-1, len(ids)):
            raise ScorerError(f"the server counted {reply.usage.prompt_tokens} prompt tokens of {len(ids)}")
        tokens = [[_at(values, ids, position) for position in range(start, end)] for start, end in ranges]
        arrays, totals = checked_scores(tokens, ranges)
        return Scored(tokens=arrays, totals=totals, forwarded=len(ids))


DIALECTS: tuple[Dialect, ...] = (ScoreEndpoint(), PromptLogprobs())
"""In the order in which they are tried: the cheapest for the server first."""


def _decode(body: bytes, kind: type[Any], wanted: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise ScorerError(f"the reply has no {wanted}: {error}") from error


def _at(values: list[dict[str, _Position] | None], ids: array[int], position: int) -> float:
    entry = (values[position] or {}).get(str(ids[position]))
    if entry is None:
        raise ScorerError(f"the server gave no log-probability for token {position}")
    return entry.logprob
