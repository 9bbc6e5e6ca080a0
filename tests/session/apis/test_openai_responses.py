from __future__ import annotations

from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.apis.openai_responses import reply, request, streamed


def messages(items: Any, **fields: Any) -> list[Any]:
    return list(request({"input": items, **fields}, "body").messages)


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def test_the_input_is_a_text_or_items() -> None:
    asked = {"role": "user", "content": [text("Hi")]}
    assert messages("Hi") == messages([{"role": "user", "content": "Hi"}]) == [asked]
    typed = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
    assert messages([typed]) == [asked]
    assert messages(None) == []


def test_instructions_are_a_system_message_of_this_call_alone() -> None:
    given = request({"input": "Hi", "instructions": "Help.", "previous_response_id": "r1"}, "body")
    assert [message["role"] for message in given.messages] == ["system", "user"]
    assert (given.own, given.previous) == (1, "r1")
    listed = messages("Hi", instructions=[{"type": "message", "role": "developer", "content": "Help."}])
    assert listed == list(given.messages)


def test_what_a_model_made_in_one_turn_is_one_message_and_what_tools_returned_another() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "sh", "arguments": '{"n": 1}'}
    result = {"type": "function_call_output", "call_id": "c1", "output": "a.py"}
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "1"}
    listed = {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "b"}]}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]}
    found = messages([{"role": "user", "content": "Hi"}, call, custom, result, listed, said])
    assert [message["role"] for message in found] == ["user", "assistant", "tool", "assistant"]
    assert found[1]["content"] == [
        {"type": "tool_call", "id": "c1", "name": "sh", "arguments": {"n": 1}},
        {"type": "tool_call", "id": "c2", "name": "sql", "arguments": "1"},
    ]
    assert found[2]["content"] == [
        {"type": "tool_result", "id": "c1", "text": "a.py"},
        {"type": "tool_result", "id": "c2", "text": "b"},
    ]


def test_messages_of_the_user_stay_apart() -> None:
    assert len(messages([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])) == 2


def test_marks_are_on_items_and_on_blocks() -> None:
    block = {"type": "input_text", "text": "b", "memory": {"key": "b"}}
    item = {"role": "user", "content": ["a", block], "memory": {"key": "a"}}
    assert messages([item])[0]["content"] == [text("a", memory={"key": "a"}), text("b", memory={"key": "b"})]
    result = {"type": "function_call_output", "call_id": "c1", "output": "x", "memory": {"key": "k"}}
    assert messages([result])[0]["content"][0]["memory"] == {"key": "k"}


def test_reasoning_is_text_where_the_service_gives_it_and_opaque_where_it_is_encrypted() -> None:
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
    assert messages([sealed])[0]["content"] == [{"type": "opaque", "kind": "reasoning", "bytes": 5}]
    summary = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    assert messages([{**sealed, "summary": summary}])[0]["content"][0]["summary"] == "One.\nTwo."
    written = {**sealed, "content": [{"type": "reasoning_text", "text": "hm"}]}
    assert messages([written])[0]["content"] == [{"type": "thinking", "text": "hm"}]


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"type": "web_search_call", "id": "ws_1"}, "assistant"),
        ({"type": "compaction", "encrypted_content": "g"}, "assistant"),
        ({"type": "computer_call_output", "output": {}}, "tool"),
    ],
)
def test_other_items_are_opaque(item: dict[str, Any], role: str) -> None:
    (message,) = messages([item])
    assert (message["role"], message["content"][0]["kind"]) == (role, item["type"])


def test_images_and_files_are_opaque_and_refusals_are_text() -> None:
    blocks = [{"type": "input_image", "image_url": "…"}, {"type": "input_file"}, {"type": "refusal", "refusal": "No."}]
    parts = messages([{"role": "assistant", "content": blocks}])[0]["content"]
    assert [part.get("kind", part["type"]) for part in parts] == ["input_image", "input_file", "text"]


@pytest.mark.parametrize(
    "fields",
    [{"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}, {"input": [{"type": "item_reference", "id": "msg_1"}]}],
)
def test_what_the_service_adds_to_the_context_is_missing(fields: dict[str, Any]) -> None:
    assert request({"input": "Hi", **fields}, "body").missing


def test_a_response_that_a_limit_ended_is_cut_and_one_that_failed_is_none() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
    body = {"id": "r1", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [said]}
    assert (reply(body).status, reply(body).stop) == ("cut", "max_output_tokens")
    for status in ("failed", "queued", "in_progress", "cancelled"):
        assert reply({"id": "r1", "status": status, "output": []}).status == "failed"
    assert streamed([{"type": "response.failed", "response": {"status": "failed", "output": []}}]).message is None


def test_items_of_a_stream_count_where_its_last_event_has_none() -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
    answer = streamed([
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
    ])  # fmt: skip
    assert answer.message == {"role": "assistant", "content": [text("a")]}
    assert answer.status == "complete"


@pytest.mark.parametrize("index", [None, -1, 7, "0", True])
def test_a_delta_with_an_odd_place_is_left_out(index: Any) -> None:
    added = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "role": "assistant"}}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": index, "delta": "a"}
    assert streamed([added, delta]).message is None


def test_a_wrong_request_is_reported_with_its_field() -> None:
    with pytest.raises(SessionError, match=r"^body: field 'input': expected a text or a list of items, got 3$"):
        messages(3)
    with pytest.raises(SessionError, match=r"^body: field 'input\[1\]': expected an object, got 'a'$"):
        messages([{"role": "user", "content": "a"}, "a"])
