from __future__ import annotations

from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.apis.anthropic_messages import messages, reply, request, streamed


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def user(content: Any, **fields: Any) -> list[Any]:
    return messages({"role": "user", "content": content, **fields}, "body")


@pytest.mark.parametrize(
    "system", ["Help.", [{"type": "text", "text": "Help.", "cache_control": {"type": "ephemeral"}}]]
)
def test_the_system_prompt_is_the_first_message(system: Any) -> None:
    given = request({"system": system, "messages": [{"role": "user", "content": "Hi"}]}, "body").messages
    assert given == [{"role": "system", "content": [text("Help.")]}, {"role": "user", "content": [text("Hi")]}]


def test_marks_are_on_the_system_blocks_on_messages_and_on_results() -> None:
    mark = {"memory": {"key": "k"}}
    given = request(
        {"system": [text("a", **mark)], "messages": [{"role": "user", "content": "b", **mark}]}, "body"
    ).messages
    assert [message["content"] for message in given] == [[text("a", **mark)], [text("b", **mark)]]
    inner = {"type": "tool_result", "tool_use_id": "t1", "content": [text("c"), text("d", **mark)]}
    result = {"type": "tool_result", "id": "t1"}
    assert user([inner])[0]["content"] == [{**result, "text": "c"}, {**result, "text": "d", **mark}]
    assert all(part["memory"] for part in user([{**inner, **mark}])[0]["content"])


def test_tool_results_are_messages_of_their_own_in_their_order() -> None:
    blocks = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "t2", "content": [text("two")], "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3"},
        text("And now?"),
    ]
    results, asked = user(blocks)
    assert (results["role"], asked["role"]) == ("tool", "user")
    assert results["content"] == [
        {"type": "tool_result", "id": "t1", "text": "one"},
        {"type": "tool_result", "id": "t2", "text": "two", "is_error": True},
        {"type": "tool_result", "id": "t3", "text": ""},
    ]
    assert asked["content"] == [text("And now?")]


def test_an_empty_turn_is_a_message() -> None:
    assert user([]) == user("") == [{"role": "user", "content": []}]


def test_what_is_no_text_is_opaque() -> None:
    kinds = ["image", "document", "redacted_thinking", "server_tool_use", "web_search_tool_result"]
    (made,) = messages({"role": "assistant", "content": [{"type": kind} for kind in kinds]}, "body")
    assert [(part["type"], part["kind"]) for part in made["content"]] == [("opaque", kind) for kind in kinds]


def test_the_size_of_a_block_does_not_follow_how_it_is_cached() -> None:
    block = {"type": "image", "source": {"type": "base64", "data": "…"}}
    assert user([block]) == user([{**block, "cache_control": {"type": "ephemeral"}}])


@pytest.mark.parametrize("stop", ["max_tokens", "model_context_window_exceeded", "stop_sequence", "refusal"])
def test_a_response_that_the_service_ended_is_cut(stop: str) -> None:
    assert reply({"content": [text("a")], "stop_reason": stop}).status == "cut"


def test_an_error_in_a_stream_cuts_it() -> None:
    begun: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": text("")},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ]
    answer = streamed(begun)
    assert (answer.status, answer.message) == ("cut", {"role": "assistant", "content": [text("a")]})
    assert streamed(begun[:1] + begun[3:]).status == "failed"


def test_a_call_whose_arguments_were_cut_off_keeps_them_as_text() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "sh", "input": {}}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a'}}
    answer = streamed([{"type": "content_block_start", "index": 0, "content_block": use}, delta]).message
    assert answer
    assert answer["content"][0]["arguments"] == '{"a'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "field 'messages': expected a list of messages, got nothing"),
        ({"messages": [3]}, "field 'messages[0]': expected an object, got 3"),
        ({"messages": [{"content": "a"}]}, "field 'messages[0].role': expected a non-empty string, got nothing"),
    ],
)
def test_a_wrong_request_is_reported_with_its_field(body: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        request(body, "line 3")
    assert str(caught.value) == f"line 3: {words}"
