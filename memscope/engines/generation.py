"""Generating text with a scorer: a streamed completion of token ids."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import httpx
import msgspec

from memscope.engines.base import Sampling
from memscope.engines.transport import RefusedError, Transport, error_text
from memscope.errors import ScorerError, ScorerGoneError

__all__ = ["GENERATING_PRIORITY", "stream_completion"]

GENERATING_PRIORITY = -5
"""Where the server has priorities, lower is earlier."""


class _Choice(msgspec.Struct):
    text: str = ""
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


async def stream_completion(
    transport: Transport, model: str, ids: array[int], sampling: Sampling, stop: Collection[int]
) -> AsyncIterator[tuple[int, ...]]:
    """Yield the ids of a completion as they are drawn, up to but without the first id of `stop`.

    Ending the iteration early closes the connection, which makes the server stop.

    Raises:
        ScorerGoneError: The connection broke.
        ScorerError: The server refused, or sent no token ids.
    """
    request = {
        "model": model,
        "prompt": list(ids),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "stream": True,
        "return_token_ids": True,
        "stop_token_ids": sorted(stop),
        "priority": GENERATING_PRIORITY,
    }
    try:
        async for kept in _streamed(transport, request, stop):
            yield kept
    except RefusedError as error:
        if "priorit" not in error.text.lower():
            raise
        # It is a courtesy, and servers without priority scheduling may refuse it.
        async for kept in _streamed(transport, {**request, "priority": None}, stop):
            yield kept
    except httpx.TransportError as error:
        why = str(error) or type(error).__name__
        raise ScorerGoneError(f"{transport.root}: the connection broke while generating ({why})") from error


async def _streamed(
    transport: Transport, request: Mapping[str, Any], stop: Collection[int]
) -> AsyncIterator[tuple[int, ...]]:
    fields = {name: value for name, value in request.items() if value is not None}
    async with transport.stream("/v1/completions", fields) as answer:
        await _refuse_errors(answer, transport)
        async for chunk in _chunks(answer):
            kept, ended = _until(chunk, stop)
            if kept:
                yield kept
            if ended:
                return


async def _refuse_errors(answer: httpx.Response, transport: Transport) -> None:
    if not answer.is_success:
        text = error_text(await answer.aread(), answer.status_code)
        line = f"{transport.root}/v1/completions: {answer.status_code} {text}"
        raise RefusedError(line, answer.status_code, text)


async def _chunks(answer: httpx.Response) -> AsyncIterator[tuple[int, ...]]:
    async for line in answer.aiter_lines():
        if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
            continue
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except msgspec.MsgspecError as error:
            raise ScorerError(f"the stream cannot be read: {error}") from error
        if chunk.error is not None:
            raise ScorerError(f"the server failed while generating: {error_text(data.encode(), 500)}")
        for choice in chunk.choices:
            if choice.token_ids is None and (choice.finish_reason is None or choice.text):
                raise ScorerError("the server streams text without token ids")
            yield tuple(choice.token_ids or ())
            if choice.finish_reason in ("stop", "length"):
                return
            if choice.finish_reason is not None:
                raise ScorerError(f"the server gave up generating ({choice.finish_reason})")
    raise ScorerGoneError("the stream ended before the text did")


def _until(chunk: tuple[int, ...], stop: Collection[int]) -> tuple[tuple[int, ...], bool]:
    for n, token in enumerate(chunk):
        if token in stop:
            return chunk[:n], True
    return chunk, False
