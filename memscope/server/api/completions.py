"""`/v1/completions` in vLLM's format: one response, or server-sent events."""

from __future__ import annotations

import contextlib
import functools
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from memscope.server.api.emitted import Emit, emitted
from memscope.server.api.schemas import CompletionRequest, check_ids
from memscope.server.compute.generation_steps import Generated, GeneratedToken, generate
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.sampling import SamplingOptions
from memscope.server.compute.scoring_steps import PromptTokens, prompt_logprobs
from memscope.server.compute.tokenizer_view import Detokenizer, TokenizerView
from memscope.server.compute.worker import Worker
from memscope.server.errors import ApiError, error_body

__all__ = ["complete", "prompts_of", "stream"]

_MINUS_INFINITY = -9999.0
"""vLLM's representation of a probability of zero, since JSON has no infinity."""


def prompts_of(request: CompletionRequest, loaded: LoadedModel) -> list[list[int]]:
    """Return the prompts of a request as validated ids.

    Raises:
        ApiError: A prompt is empty, too long, or holds an id outside the vocabulary (400).
    """
    prompt = request.prompt
    if isinstance(prompt, str):
        listed: list[Any] = [prompt]
    elif prompt and all(isinstance(item, int) for item in prompt):
        listed = [prompt]
    else:
        listed = list(prompt)
    prompts = [loaded.tokenizer.encode(item) if isinstance(item, str) else item for item in listed]
    for ids in prompts or [[]]:
        check_ids(ids, loaded.vocabulary, loaded.max_tokens, room=1)
    return prompts


@dataclass
class _Completion:
    """One prompt's completion as it grows."""

    index: int
    prompt: list[int]
    tokenizer: TokenizerView
    alternatives: int | None
    with_ids: bool
    detokenizer: Detokenizer = field(init=False)
    made: int = 0
    offset: int = 0

    def __post_init__(self) -> None:
        self.detokenizer = Detokenizer(self.tokenizer)

    def fields(self, tokens: list[GeneratedToken]) -> dict[str, Any]:
        """Return the fields of a completion that these new tokens add."""
        first = self.made == 0
        self.made += len(tokens)
        finish = tokens[-1].finish if tokens else None
        text = "".join(self.detokenizer.add(token.token) for token in tokens)
        text += self.detokenizer.rest() if finish is not None else ""
        result: dict[str, Any] = {
            "index": self.index,
            "text": text,
            "logprobs": self._logprobs(tokens),
            "finish_reason": finish,
            "stop_reason": None,
        }
        if self.with_ids:
            result["token_ids"] = [token.token for token in tokens]
            result["prompt_token_ids"] = self.prompt if first else None
        return result

    def _logprobs(self, tokens: list[GeneratedToken]) -> dict[str, Any] | None:
        if self.alternatives is None:
            return None
        texts = [self.tokenizer.token(token.token) for token in tokens]
        offsets = []
        for text in texts:
            offsets.append(self.offset)
            self.offset += len(text)
        return {
            "text_offset": offsets,
            "token_logprobs": [_number(token.logprob) for token in tokens],
            "tokens": texts,
            "top_logprobs": [self._top(token, text) for token, text in zip(tokens, texts, strict=True)],
        }

    def _top(self, token: GeneratedToken, text: str) -> dict[str, float]:
        named = {self.tokenizer.token(other): _number(logprob) for other, logprob in token.top}
        return {text: _number(token.logprob)} | named


async def complete(request: CompletionRequest, loaded: LoadedModel, worker: Worker) -> dict[str, Any]:
    """Return a complete response; prompts run one after another, so that each can reuse the previous prefix."""
    choices, cached, made = [], 0, 0
    prompts = prompts_of(request, loaded)
    for index, prompt in enumerate(prompts):
        completion = _completion(request, loaded, index, prompt)
        tokens: list[GeneratedToken] = []
        measured = None
        if request.prompt_logprobs is not None:
            measured = await worker.run(
                lambda prompt=prompt: prompt_logprobs(loaded, prompt),  # type: ignore[misc]
                lane="score",
                priority=request.priority,
            )
        done = await _generate(request, loaded, worker, completion, tokens.append)
        fields = completion.fields(tokens)
        fields["prompt_logprobs"] = None if measured is None else _prompt_entries(request, completion, measured)
        choices.append(fields)
        cached, made = cached + done.cached_tokens, made + completion.made
    return _envelope(request, loaded, choices) | {"usage": _usage(prompts, made, cached)}


async def stream(request: CompletionRequest, loaded: LoadedModel, worker: Worker) -> AsyncIterator[bytes]:
    """Yield server-sent events, one per token, then `[DONE]`; errors after the start are events too."""
    prompts = prompts_of(request, loaded)
    envelope = _envelope(request, loaded, [])
    made = cached = 0
    try:
        for index, prompt in enumerate(prompts):
            completion = _completion(request, loaded, index, prompt)
            work = functools.partial(_generate, request, loaded, worker, completion)
            async with contextlib.aclosing(emitted(work)) as items:
                async for item in items:
                    if isinstance(item, Generated):
                        cached += item.cached_tokens
                    else:
                        yield _event(envelope | {"choices": [completion.fields([item])]})
            made += completion.made
        if request.stream_options is not None and request.stream_options.include_usage:
            yield _event(envelope | {"usage": _usage(prompts, made, cached)})
    except ApiError as error:
        yield _event(error_body(error))
    yield b"data: [DONE]\n\n"


async def _generate(
    request: CompletionRequest,
    loaded: LoadedModel,
    worker: Worker,
    completion: _Completion,
    emit: Emit[GeneratedToken],
) -> Generated:
    room = request.max_tokens if loaded.max_tokens is None else loaded.max_tokens - len(completion.prompt)
    limit = min(request.max_tokens or room or 16, room or 16)
    return await worker.run(
        lambda: generate(
            loaded, completion.prompt, limit, _sampling(request), emit, top_logprobs=completion.alternatives or 0
        ),
        lane="generate",
        priority=request.priority,
    )


def _sampling(request: CompletionRequest) -> SamplingOptions:
    return SamplingOptions(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=request.top_k or 0,
        seed=request.seed,
    )


def _completion(request: CompletionRequest, loaded: LoadedModel, index: int, prompt: list[int]) -> _Completion:
    return _Completion(index, prompt, loaded.tokenizer, request.logprobs, bool(request.return_token_ids))


def _envelope(request: CompletionRequest, loaded: LoadedModel, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"cmpl-{uuid.uuid4().hex}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": request.model or loaded.name,
        "weights": loaded.weights,
        "choices": choices,
    }


def _usage(prompts: list[list[int]], made: int, cached: int) -> dict[str, Any]:
    given = sum(map(len, prompts))
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _prompt_entries(request: CompletionRequest, completion: _Completion, measured: PromptTokens) -> list[Any]:
    entries: list[Any] = [None]
    for at, token in enumerate(completion.prompt[1:]):
        entry = {str(token): _entry(completion.tokenizer, token, measured.logprobs[at], measured.ranks[at])}
        if request.prompt_logprobs == 1:
            top = measured.top_ids[at]
            entry.setdefault(str(top), _entry(completion.tokenizer, top, measured.top_logprobs[at], 1))
        entries.append(entry)
    return entries


def _entry(tokenizer: TokenizerView, token: int, logprob: float, rank: int) -> dict[str, Any]:
    return {"logprob": _number(logprob), "rank": rank, "decoded_token": tokenizer.token(token)}


def _number(logprob: float) -> float:
    return max(logprob, _MINUS_INFINITY)


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
