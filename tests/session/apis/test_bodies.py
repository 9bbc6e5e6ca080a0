"""The example bodies are what the services' own clients read."""

from __future__ import annotations

from typing import Any

import anthropic.types
import openai.types
import openai.types.chat
import openai.types.responses
import pytest
from pydantic import BaseModel, TypeAdapter

from tests.session.apis import bodies

BODIES: dict[str, tuple[type[BaseModel], Any]] = {
    "chat": (openai.types.chat.ChatCompletion, bodies.CHAT_REPLY),
    "completions": (openai.types.Completion, bodies.COMPLETIONS_REPLY),
    "responses": (openai.types.responses.Response, bodies.RESPONSES_REPLY),
    "anthropic": (anthropic.types.Message, bodies.ANTHROPIC_REPLY),
}
STREAMS: dict[str, tuple[Any, Any]] = {
    "chat": (openai.types.chat.ChatCompletionChunk, bodies.CHAT_STREAM),
    "responses": (openai.types.responses.ResponseStreamEvent, bodies.RESPONSES_STREAM),
    "anthropic": (anthropic.types.RawMessageStreamEvent, bodies.ANTHROPIC_STREAM),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_one_that_the_client_reads(name: str) -> None:
    kind, body = BODIES[name]
    kind.model_validate(body)


@pytest.mark.parametrize("name", STREAMS)
def test_every_event_is_one_that_the_client_reads(name: str) -> None:
    kind, events = STREAMS[name]
    for event in events:
        if event != {"type": "ping"}:
            TypeAdapter(kind).validate_python(event)
