"""`/v1/chat/completions` in OpenAI's format: one response, or server-sent events."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from memscope.server.api.chat_output import CalledTool, OutputParser, OutputPart, StopFinder
from memscope.server.api.chat_schemas import ChatRequest, template_messages
from memscope.server.api.emitted import Emit, emitted
from memscope.server.api.schemas import check_ids
from memscope.server.compute.generation_steps import Generated, GeneratedToken, generate
from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.sampling import SamplingOptions
from memscope.server.compute.tokenizer_view import Detokenizer
from memscope.server.compute.worker import Worker
from memscope.server.errors import ApiError, error_body

__all__ = ["ChatGeneration"]

_UNLIMITED_TOKENS = 4096
"""Limit of a response where neither the request nor the model has one."""


@dataclass
class _Reader:
    """Reads generated tokens as parts of a response.

    Attributes:
        tokens: The number of tokens so far.
        finish: Why the response ended; None while it goes on.
        calls: The number of tool calls so far.
    """

    detokenizer: Detokenizer
    stops: StopFinder
    parser: OutputParser
    tokens: int = 0
    calls: int = 0
    finish: str | None = None

    def read(self, token: GeneratedToken) -> list[OutputPart]:
        """Return the parts that a token completes."""
        self.tokens += 1
        text = self.stops.feed(self.detokenizer.add(token.token))
        self.finish = "stop" if self.stops.found else token.finish
        if self.finish is None:
            return self._counted(self.parser.feed(text))
        text += self.stops.feed(self.detokenizer.rest()) + self.stops.rest()
        parts = self._counted(self.parser.feed(text) + self.parser.finish())
        if self.calls and self.finish == "stop":
            self.finish = "tool_calls"
        return parts

    def _counted(self, parts: list[OutputPart]) -> list[OutputPart]:
        self.calls += sum(isinstance(part, CalledTool) for part in parts)
        return parts


@dataclass(frozen=True)
class ChatGeneration:
    """One request, validated and ready to be answered, once."""

    request: ChatRequest
    loaded: LoadedModel
    worker: Worker
    prompt: list[int]
    reader: _Reader
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    @classmethod
    def of(cls, request: ChatRequest, loaded: LoadedModel, worker: Worker) -> ChatGeneration:
        """Render the messages of a request.

        Raises:
            ApiError: A field is not supported, the template rejects the messages, or they are too long (400).
        """
        request.check()
        text, prompt = loaded.tokenizer.chat_prompts.render(template_messages(request.messages), request.tools)
        check_ids(prompt, loaded.vocabulary, loaded.max_tokens, room=1)
        parser = OutputParser(thinking=text.rstrip().endswith("<think>"), tools=request.tool_choice != "none")
        reader = _Reader(Detokenizer(loaded.tokenizer), StopFinder(request.stops), parser)
        return cls(request, loaded, worker, prompt, reader)

    async def complete(self) -> dict[str, Any]:
        """Return the complete response."""
        parts: list[OutputPart] = []
        done = await self._generate(parts.extend)
        choice = {"index": 0, "message": _message(parts), "logprobs": None, "finish_reason": self.reader.finish}
        return self._envelope("chat.completion", [choice]) | {"usage": self._usage(done)}

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield server-sent events, then `[DONE]`; errors after the start are events too."""
        try:
            yield self._chunk({"role": "assistant", "content": ""})
            calls = 0
            async with contextlib.aclosing(emitted(self._generate)) as items:
                async for item in items:
                    if isinstance(item, Generated):
                        yield self._chunk({}, self.reader.finish)
                        if self._includes_usage:
                            yield _event(self._envelope("chat.completion.chunk", []) | {"usage": self._usage(item)})
                        continue
                    for part in item:
                        yield self._chunk(_delta(part, calls))
                        calls += isinstance(part, CalledTool)
        except ApiError as error:
            yield _event(error_body(error))
        yield b"data: [DONE]\n\n"

    async def _generate(self, emit: Emit[list[OutputPart]]) -> Generated:
        def read(token: GeneratedToken) -> bool:
            if parts := self.reader.read(token):
                emit(parts)
            return self.reader.finish is not None

        return await self.worker.run(
            lambda: generate(self.loaded, self.prompt, self._most_tokens(), self._sampling(), read),
            lane="generate",
            priority=self.request.priority,
        )

    def _most_tokens(self) -> int:
        longest = self.loaded.max_tokens
        limits = (self.request.limit, None if longest is None else longest - len(self.prompt))
        return min((limit for limit in limits if limit is not None), default=_UNLIMITED_TOKENS)

    def _sampling(self) -> SamplingOptions:
        request, default = self.request, self.loaded.sampling
        return SamplingOptions(
            temperature=default.temperature if request.temperature is None else request.temperature,
            top_p=default.top_p if request.top_p is None else request.top_p,
            top_k=default.top_k if request.top_k is None else request.top_k,
            seed=request.seed,
        )

    @property
    def _includes_usage(self) -> bool:
        return self.request.stream_options is not None and self.request.stream_options.include_usage

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = self._envelope("chat.completion.chunk", [choice])
        return _event(chunk | {"usage": None} if self._includes_usage else chunk)

    def _envelope(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.request.model or self.loaded.name,
            "weights": self.loaded.weights,
            "choices": choices,
        }

    def _usage(self, done: Generated) -> dict[str, Any]:
        return {
            "prompt_tokens": len(self.prompt),
            "completion_tokens": self.reader.tokens,
            "total_tokens": len(self.prompt) + self.reader.tokens,
            "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
        }


def _message(parts: list[OutputPart]) -> dict[str, Any]:
    calls = [part for part in parts if isinstance(part, CalledTool)]
    content, reasoning = (
        "".join(part.text for part in parts if not isinstance(part, CalledTool) and part.kind == kind)
        for kind in ("content", "reasoning")
    )
    message: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else "")}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [_tool_call(call) for call in calls]
    return message


def _delta(part: OutputPart, calls: int) -> dict[str, Any]:
    if isinstance(part, CalledTool):
        return {"tool_calls": [{"index": calls} | _tool_call(part)]}
    return {"content" if part.kind == "content" else "reasoning_content": part.text}


def _tool_call(call: CalledTool) -> dict[str, Any]:
    # Some chat templates require ids of nine letters and digits.
    number = uuid.uuid4().hex[:9]
    return {"id": number, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
