"""What all APIs have in common: the same turn of an agent is the same canonical message, streamed or not."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

import pytest

from memscope.session.apis import anthropic_messages, openai_chat, openai_completions, openai_responses
from memscope.session.apis.base import CallReply
from memscope.session.apis.sse import streamed_objects
from tests.session.apis import bodies

COMPLETION = {"role": "completion", "content": [{"type": "tokens", "ids": [7, 8], "text": " upon a"}]}
APIS: dict[str, tuple[Any, Any, Any, Any]] = {
    "openai-chat": (openai_chat, bodies.CHAT_REPLY, bodies.CHAT_STREAM, bodies.TURN),
    "openai-completions": (openai_completions, bodies.COMPLETIONS_REPLY, bodies.COMPLETIONS_STREAM, COMPLETION),
    "openai-responses": (openai_responses, bodies.RESPONSES_REPLY, bodies.RESPONSES_STREAM, bodies.TURN),
    "anthropic-messages": (anthropic_messages, bodies.ANTHROPIC_REPLY, bodies.ANTHROPIC_STREAM, bodies.TURN),
}
ECHOES: dict[str, dict[str, Any]] = {
    "openai-chat": {"messages": [bodies.CHAT_MESSAGE]},
    "openai-responses": {"input": bodies.RESPONSES_REPLY["output"]},
    "anthropic-messages": {"messages": [{"role": "assistant", "content": bodies.ANTHROPIC_REPLY["content"]}]},
}
CUT_WHERE = {"openai-chat": 6, "openai-completions": 1, "openai-responses": 17, "anthropic-messages": 12}
"""How many events of each stream come before its last part is whole."""


def streamed(module: ModuleType, events: Any) -> CallReply:
    reply: CallReply = module.streamed(streamed_objects(bodies.sse(events)).objects)
    return reply


@pytest.mark.parametrize("name", APIS)
def test_a_response_is_one_message_whether_it_was_streamed_or_not(name: str) -> None:
    module, body, stream, message = APIS[name]
    reply = module.reply(body)
    assert name == module.NAME
    assert reply.message == message
    assert (reply.status, reply.model, reply.id) == ("complete", body["model"], body["id"])
    assert reply.usage == ({"input": 2, "output": 2} if name == "openai-completions" else {"input": 82, "output": 17})
    assert streamed(module, stream) == reply


@pytest.mark.parametrize("name", ECHOES)
def test_a_response_that_a_later_call_repeats_is_the_same_message(name: str) -> None:
    module, body, _, message = APIS[name]
    assert module.request(ECHOES[name], "body").messages == [message] == [module.reply(body).message]


@pytest.mark.parametrize("name", APIS)
def test_a_stream_that_ends_early_is_cut_after_what_was_said(name: str) -> None:
    module, _, stream, message = APIS[name]
    reply = streamed(module, stream[: CUT_WHERE[name]])
    assert reply.status == "cut"
    assert reply.message
    assert 0 < len(reply.message["content"]) <= len(message["content"])
    assert reply.message != message


@pytest.mark.parametrize("name", APIS)
def test_whatever_part_of_a_stream_arrives_it_is_read(name: str) -> None:
    module, _, stream, message = APIS[name]
    for count in range(len(stream)):
        reply = streamed(module, stream[:count])
        assert reply.status in ("failed", "cut", "complete")
        assert (reply.message is None) == (reply.status == "failed")
        assert reply.message == message or reply.status != "complete"


@pytest.mark.parametrize("name", APIS)
def test_numbers_of_parts_that_are_none_break_nothing(name: str) -> None:
    module, _, stream, _ = APIS[name]
    text = json.dumps(stream)
    for odd in ("[]", "{}", "-1", "null", '"0"', "1.5"):
        module.streamed(json.loads(re.sub(r'("(?:output_|content_)?index"): \d', rf"\1: {odd}", text)))


@pytest.mark.parametrize("name", APIS)
@pytest.mark.parametrize(
    "body",
    [{}, {"error": {"message": "no"}}, {"choices": None}, {"choices": [None, 3]}, {"output": [3]}, {"content": 3},
     {"status": 3, "output": {}}, {"choices": [{"message": 3, "text": 3, "delta": 3}]}],
    ids=range(8),
)  # fmt: skip
def test_a_reply_without_a_response_is_a_failed_call(name: str, body: Any) -> None:
    module = APIS[name][0]
    assert module.streamed([body]).status == "failed"
    if name not in ("anthropic-messages", "openai-completions"):
        assert module.reply(body).status == "failed"


def tools_of(name: str) -> list[Any]:
    flat = {**bodies.TOOL, "type": "function"}
    tools: dict[str, list[Any]] = {
        "openai-chat": [bodies.CHAT_TOOL, {"type": "web_search"}],
        "openai-responses": [flat, {"type": "web_search"}],
        "anthropic-messages": [
            {"name": "sh", "description": "Run a command.", "input_schema": bodies.PARAMETERS},
            {"type": "web_search", "name": "search"},
        ],
    }
    return tools[name]


@pytest.mark.parametrize("name", ECHOES)
def test_tools_are_definitions_of_functions_and_the_types_of_the_others(name: str) -> None:
    request = APIS[name][0].request({**ECHOES[name], "tools": tools_of(name), "model": "m"}, "body")
    assert request.tools == [bodies.TOOL]
    assert request.hosted == ["web_search"]
    assert request.model == "m"
