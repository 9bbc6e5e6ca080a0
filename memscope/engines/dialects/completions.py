"""Shared by dialects of servers with an OpenAI-style `/v1/completions`: generation, and checking scores with it.

The check is a round trip: the server generates tokens and reports their log-probabilities; scoring the same tokens must
give the same numbers. This detects shifted indices, ignored fields, other temperatures and raw logits.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import msgspec

from memscope.engines.base import Range, Sampling, Scored
from memscope.engines.decoding import UnreadableAnswerError, decode_json, error_text, token_ids
from memscope.engines.dialects.base import Check, Dialect
from memscope.engines.logprobs import agree
from memscope.engines.transport import RefusedError
from memscope.errors import ScorerError, ScorerGoneError, UntrustedScorerError

__all__ = ["GENERATING_PRIORITY", "CompletionsDialect", "Usage"]

GENERATING_PRIORITY = -5
"""Priority for servers that support it (lower is earlier)."""

_PATH = "/v1/completions"
_STREAM_SECONDS = 300.0
_SECONDS_A_TOKEN = 2.0
_DRAWS = 4
"""How often to request more tokens if the text ends early."""
_FILLER = 7
"""An id appended to continue after the end of a text."""
_TRIES = 3
"""How often to repeat a check that was interrupted by a change of weights."""


class Usage(msgspec.Struct):
    """The token counts that a server reports; -1 if it reports none."""

    prompt_tokens: int = -1
    computed_tokens: int = -1


class _StreamChoice(msgspec.Struct):
    text: str = ""
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _StreamEvent(msgspec.Struct):
    choices: list[_StreamChoice] = []
    error: Any = None


class _TokenLogprobs(msgspec.Struct):
    token_logprobs: list[float | None] | None = None


class _DrawnChoice(msgspec.Struct):
    token_ids: list[int] | None = None
    logprobs: _TokenLogprobs | None = None


class _DrawnReply(msgspec.Struct):
    choices: list[_DrawnChoice] = []
    weights: str = ""


class _GeneratedTokens(msgspec.Struct):
    """Generated tokens in a sequence: the ids, and the reported log-probabilities in nats by position."""

    ids: array[int]
    logprobs: dict[int, float]
    weights: set[str]


class _NothingToCompareError(Exception):
    """The server does not report the data that a check needs."""


class CompletionsDialect(Dialect):
    """A dialect whose server also generates at `/v1/completions`."""

    async def generate(
        self, ids: array[int], sampling: Sampling, stop: Collection[int]
    ) -> AsyncIterator[tuple[int, ...]]:
        """See `Dialect.generate`."""
        fields = {
            "prompt": list(ids),
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": sampling.seed,
            "stream": True,
            "return_token_ids": True,
            "stop_token_ids": sorted(stop),
        }
        seconds = _STREAM_SECONDS + _SECONDS_A_TOKEN * sampling.max_tokens
        lines = self.served.stream(_PATH, fields, seconds=seconds, priority=GENERATING_PRIORITY)
        async for chunk in _chunks(lines):
            kept, ended = _until(chunk, stop)
            if kept:
                yield kept
            if ended:
                return

    async def check(self, prompt: array[int], tokens: int) -> Check:
        """See `Dialect.check`."""
        for _ in range(_TRIES):
            try:
                drawn = await self._draw(prompt, tokens)
            except _NothingToCompareError as obstacle:
                return Check(0, str(obstacle))
            ranges = _ranges(drawn)
            scored = await self.score(drawn.ids, ranges)
            if len({*drawn.weights, scored.weights} - {""}) <= 1:
                self._compare(drawn, ranges, scored)
                return Check(len(drawn.logprobs))
        return Check(0, "its weights keep changing")

    async def _draw(self, prompt: array[int], tokens: int) -> _GeneratedTokens:
        """Generate tokens after a prompt, continuing if the text ends early."""
        drawn = _GeneratedTokens(prompt[:], {}, set())
        for _ in range(_DRAWS):
            ids, logprobs, weights = await self._greedy(drawn.ids, tokens - len(drawn.logprobs))
            drawn.logprobs.update(enumerate(logprobs, len(drawn.ids)))
            drawn.ids.extend(ids)
            drawn.weights.add(weights)
            if len(drawn.logprobs) >= tokens:
                break
            drawn.ids.append(_FILLER)
        return drawn

    async def _greedy(self, ids: array[int], tokens: int) -> tuple[array[int], list[float], str]:
        fields = {
            "prompt": list(ids),
            "max_tokens": tokens,
            "temperature": 0,
            "logprobs": 1,
            "return_token_ids": True,
            "ignore_eos": True,
        }
        try:
            body = await self.served.post(_PATH, fields)
        except RefusedError as error:
            raise _NothingToCompareError(f"it does not generate: {error.status} {error.text}") from error
        reply = decode_json(body, _DrawnReply, "a completion")
        choice = reply.choices[0] if reply.choices else _DrawnChoice()
        said = choice.logprobs.token_logprobs if choice.logprobs is not None else None
        if not choice.token_ids or not said:
            missing = "ids" if not choice.token_ids else "log-probabilities"
            raise _NothingToCompareError(f"it reports no {missing} for generated tokens")
        drawn = token_ids(choice.token_ids, f"{self.served.transport.root}{_PATH}")
        logprobs = [value for value in said if value is not None]
        if len(logprobs) != len(drawn) or len(said) != len(logprobs):
            raise _NothingToCompareError("it does not report a log-probability for every generated token")
        return drawn, logprobs, reply.weights

    def _compare(self, drawn: _GeneratedTokens, ranges: Sequence[Range], scored: Scored) -> None:
        pairs: dict[int, tuple[float, float]] = {}
        for (start, end), total, values in zip(ranges, scored.totals, scored.tokens, strict=True):
            if values:
                pairs |= {at: (drawn.logprobs[at], value) for at, value in enumerate(values, start)}
            else:
                pairs[start] = (sum(drawn.logprobs[at] for at in range(start, end)), total)
        if agree(pairs.values()):
            return
        at, (said, found) = max(pairs.items(), key=lambda item: abs(item[1][0] - item[1][1]))
        raise UntrustedScorerError(
            f"{self.served.transport.root}: inconsistent log-probabilities: it generated token {drawn.ids[at]} at "
            f"{said:.3f} nats but scores it at {found:.3f} ({self.name}), so its scores cannot be trusted"
        )


def _ranges(drawn: _GeneratedTokens) -> list[Range]:
    """Return the generated positions as ranges of one and of several tokens, since both must be correct."""
    ranges: list[Range] = []
    for at in sorted(drawn.logprobs):
        if len(ranges) > 1 and ranges[-1][1] == at:
            ranges[-1] = (ranges[-1][0], at + 1)
        else:
            ranges.append((at, at + 1))
    return ranges


async def _chunks(lines: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, ...]]:
    async for line in lines:
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            continue
        event = decode_json(data, _StreamEvent, "an event of a completion")
        if event.error is not None:
            raise ScorerError(f"the server failed while generating: {error_text(data, 500)}")
        for choice in event.choices:
            if choice.token_ids is None and (choice.finish_reason is None or choice.text):
                raise UnreadableAnswerError("the server streams text without token ids")
            yield tuple(token_ids(choice.token_ids or (), "a streamed completion"))
            if choice.finish_reason in ("stop", "length"):
                return
            if choice.finish_reason is not None:
                raise ScorerError(f"the server stopped generating ({choice.finish_reason})")
    raise ScorerGoneError("the stream ended before the text was complete")


def _until(chunk: tuple[int, ...], stop: Collection[int]) -> tuple[tuple[int, ...], bool]:
    for n, token in enumerate(chunk):
        if token in stop:
            return chunk[:n], True
    return chunk, False
