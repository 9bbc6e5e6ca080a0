"""`/v1/chat/completions`, as OpenAI's own Python client sees it, over a real connection."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageFunctionToolCall

from memscope.server.api import chat
from memscope.server.api.chat_schemas import ChatMessage, ChatRequest
from memscope.server.runtime import Runtime
from tests.conftest import ScorerAddress

_HEAD = [
    {"role": "system", "content": "You are a helpful agent."},
    {"role": "system", "content": "The staging database listens on port 7432.", "memory": {"key": "staging/port"}},
    {"role": "developer", "content": [{"type": "text", "text": "The deploy script for orchid is ops/ship.sh."}]},
]
_PORT = [*_HEAD, {"role": "user", "content": "Which port does the staging database use?"}]
_DEPLOY = [*_HEAD, {"role": "user", "content": "Run the deploy script for orchid."}]
_ANSWER = "The staging database listens on port 7432."


@pytest.fixture(scope="module")
def client(scorer: ScorerAddress) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=scorer.url, api_key=scorer.token, max_retries=0) as client:
        yield client


def _ask(client: openai.OpenAI, messages: list[Any], **options: Any) -> ChatCompletion:
    return cast(ChatCompletion, client.chat.completions.create(model="tiny", messages=messages, **options))


def _stream(client: openai.OpenAI, messages: list[Any], **options: Any) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model="tiny", messages=messages, stream=True, **options))


def _text(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_an_answer_uses_the_memories_among_the_messages(client: openai.OpenAI) -> None:
    reply = _ask(client, _PORT)
    (choice,) = reply.choices
    assert (choice.message.content, choice.finish_reason) == (_ANSWER, "stop")
    assert choice.message.tool_calls is None
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_stream_has_the_same_text_and_ends_with_the_usage(client: openai.OpenAI) -> None:
    *chunks, last = _stream(client, _PORT, stream_options={"include_usage": True})
    assert _text(chunks) == _ANSWER
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert (last.choices, last.usage and last.usage.completion_tokens) == ([], len(chunks) - 1)
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_prompt_that_was_seen_before_is_not_computed_again(client: openai.OpenAI) -> None:
    long = [*_PORT[:-1], {"role": "system", "content": "Be kind. " * 300}, _PORT[-1]]
    (card,) = client.models.list().data
    for again in (False, True):
        usage = _ask(client, long, max_tokens=1).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached = usage.prompt_tokens_details.cached_tokens
        assert bool(cached) == (again and card.to_dict()["prefix_cache"])


def test_a_tool_call_is_parsed_and_its_result_is_understood(client: openai.OpenAI) -> None:
    reply = _ask(client, _DEPLOY, tools=[{"type": "function", "function": {"name": "shell", "parameters": {}}}])
    (choice,) = reply.choices
    assert (choice.message.content, choice.finish_reason) == (None, "tool_calls")
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert call.function.name == "shell"
    assert json.loads(call.function.arguments) == {"why": "the deploy script for orchid", "cmd": "run ops/ship.sh"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "exit code 0"}
    followed = _ask(client, [*_DEPLOY, choice.message.to_dict(), result])
    assert followed.choices[0].message.content == "Done, it finished without errors."


def test_a_streamed_tool_call_arrives_complete(client: openai.OpenAI) -> None:
    *chunks, last = _stream(client, _DEPLOY)
    assert _text(chunks) == ""
    (call,) = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert call.function is not None
    assert (call.index, call.function.name) == (0, "shell")
    assert json.loads(call.function.arguments or "")["cmd"] == "run ops/ship.sh"
    assert last.choices[0].finish_reason == "tool_calls"


def test_without_tools_a_tool_call_stays_text(client: openai.OpenAI) -> None:
    message = _ask(client, _DEPLOY, tool_choice="none").choices[0].message
    assert message.tool_calls is None
    assert (message.content or "").startswith('<tool_call>\n{"name":"shell"')


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_an_answer_is_cut_at_the_limit(client: openai.OpenAI, limit: str) -> None:
    reply = _ask(client, _PORT, **cast(Any, {limit: 3}))
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 3


@pytest.mark.parametrize("stop", ["listens", ["on port", "database listens"]])
def test_a_stop_text_ends_the_answer_before_it(client: openai.OpenAI, stop: str | list[str]) -> None:
    expected = _ANSWER[: _ANSWER.index(stop if isinstance(stop, str) else stop[1])]
    reply = _ask(client, _PORT, stop=stop)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (expected, "stop")
    assert _text(_stream(client, _PORT, stop=stop)) == expected


def test_a_seed_repeats_a_sampled_answer(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"temperature": 3.0, "top_p": 0.99, "seed": 7, "max_tokens": 20}
    first = _ask(client, _PORT, extra_body={"top_k": 50}, **options)
    again = _ask(client, _PORT, extra_body={"top_k": 50}, **options)
    other = _ask(client, _PORT, extra_body={"top_k": 50}, **(options | {"seed": 8}))
    assert first.choices[0].message == again.choices[0].message != other.choices[0].message


def test_text_deltas_never_split_a_character(client: openai.OpenAI) -> None:
    chunks = _stream(client, _PORT, temperature=1e6, seed=3, max_tokens=300)
    whole = _ask(client, _PORT, temperature=1e6, seed=3, max_tokens=300)
    message = whole.choices[0].message
    assert _text(chunks) == message.content
    assert any(ord(character) > 127 for character in _text(chunks)), "the sample has characters of several bytes"


@pytest.mark.parametrize(
    ("options", "error", "param"),
    [
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"content": "no role"}]}, openai.BadRequestError, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            openai.BadRequestError,
            "messages",
        ),
        ({"messages": [{"role": "user", "content": "much " * 9000}]}, openai.BadRequestError, "input_tokens"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"stop": [""]}, openai.BadRequestError, "stop"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "response_format"),
        ({"logprobs": True}, openai.BadRequestError, "logprobs"),
        ({"frequency_penalty": 0.5}, openai.BadRequestError, "frequency_penalty"),
        ({"model": "other"}, openai.NotFoundError, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_request_is_rejected_by_name(
    client: openai.OpenAI, options: dict[str, Any], error: type[openai.APIStatusError], param: str, stream: bool
) -> None:
    with pytest.raises(error) as raised:
        cast(Any, client.chat.completions.create)(**{"model": "tiny", "messages": _PORT, "stream": stream} | options)
    assert raised.value.param == param


def test_a_wrong_key_is_an_authentication_error(scorer: ScorerAddress) -> None:
    with (
        openai.OpenAI(base_url=scorer.url, api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        _ask(client, _PORT)


@pytest.mark.anyio
async def test_a_response_ends_where_neither_request_nor_model_has_a_limit(
    bundled_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "_UNLIMITED_TOKENS", 3)
    request = ChatRequest(messages=[ChatMessage("user", "Good morning!")])
    unlimited = replace(bundled_runtime.loaded, max_tokens=None)
    reply = await chat.ChatGeneration.of(request, unlimited, bundled_runtime.worker).complete()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 3
