from __future__ import annotations

from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.apis.openai_chat import message, reply, request, streamed, tool_definitions


def content(value: Any) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = message({"role": "user", "content": value}, "body")["content"]
    return parts


def text(value: str, key: str | None = None) -> dict[str, Any]:
    return {"type": "text", "text": value, **({"memory": {"key": key}} if key else {})}


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields}]}


def test_content_is_a_text_or_blocks_of_every_kind() -> None:
    assert content("a") == content([{"type": "text", "text": "a"}]) == content(["a"]) == [text("a")]
    assert content("") == content(None) == content([]) == content([{"type": "text", "text": ""}]) == []
    blocks = [{"type": kind, kind: {"data": "…"}} for kind in ("image_url", "input_audio", "file")]
    assert [(part["type"], part["kind"]) for part in content(blocks)] == [
        ("opaque", "image_url"),
        ("opaque", "input_audio"),
        ("opaque", "file"),
    ]
    assert content([{"type": "image_url", "image_url": {"url": "é"}}])[0]["bytes"] == 45
    assert content([{"type": "refusal", "refusal": "No."}]) == [text("No.")]
    assert content([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]) == [
        {"type": "thinking", "text": "hm"}
    ]


def test_marks_are_on_a_message_or_on_a_block() -> None:
    marked = {"role": "user", "content": ["a", {"type": "text", "text": "b", "memory": {"key": "own"}}]}
    assert message(marked, "body")["content"] == [text("a"), text("b", "own")]
    whole = message({**marked, "memory": {"key": "all"}}, "body")["content"]
    assert whole == [text("a", "all"), text("b", "own")]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_roles_and_names_are_kept(role: str) -> None:
    given = {"role": role, "name": "mira", "content": "a", "annotations": []}
    assert message(given, "body") == {"role": role, "name": "mira", "content": [text("a")]}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_comes_first(field: str) -> None:
    given = {"role": "assistant", "content": "a", field: "hm"}
    assert message(given, "body")["content"] == [{"type": "thinking", "text": "hm"}, text("a")]
    events = [delta(**{field: "h"}), delta(**{field: "m"}), delta(content="a")]
    answer = streamed(events).message
    assert answer
    assert answer["content"] == [{"type": "thinking", "text": "hm"}, text("a")]


def test_a_tool_message_is_a_result_with_its_marks() -> None:
    result = {"type": "tool_result", "id": "c1", "text": "a.py"}
    given = {"role": "tool", "tool_call_id": "c1", "content": "a.py"}
    assert message(given, "body") == {"role": "tool", "content": [result]}
    marked = message({**given, "memory": {"key": "k"}}, "body")
    assert marked["content"] == [{**result, "memory": {"key": "k"}}]
    assert message({**given, "content": ""}, "body")["content"] == [{**result, "text": ""}]
    old = {"role": "function", "name": "sh", "content": "a.py"}
    assert message(old, "body") == {"role": "tool", "name": "sh", "content": [{**result, "id": "sh"}]}


def test_calls_of_every_kind() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "sh", "arguments": '{"n": 1}'}},
        {"id": "c2", "type": "function", "function": {"name": "sh", "arguments": "{cut off"}},
        {"id": "c3", "type": "custom", "custom": {"name": "sql", "input": "1"}},
    ]
    given = {"role": "assistant", "tool_calls": calls, "function_call": {"name": "old", "arguments": "{}"}}
    parts = message(given, "body")["content"]
    assert [(part["id"], part["name"], part["arguments"]) for part in parts] == [
        ("c1", "sh", {"n": 1}),
        ("c2", "sh", "{cut off"),
        ("c3", "sql", "1"),
        ("old", "old", {}),
    ]


@pytest.mark.parametrize("arguments", ['{"n": NaN}', '{"n": 1e999}', "[" * 100_000, "[" * 81 + "]" * 81])
def test_arguments_that_json_cannot_hold_stay_a_text(arguments: str) -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": arguments}}
    assert message({"role": "assistant", "tool_calls": [call]}, "body")["content"][0]["arguments"] == arguments


def test_calls_are_assembled_by_their_index_or_where_all_have_the_same_one_by_their_id() -> None:
    def call(index: int, arguments: str, **fields: Any) -> dict[str, Any]:
        named = {"name": fields.pop("name")} if "name" in fields else {}
        return {"index": index, **fields, "function": {**named, "arguments": arguments}}

    apart = [
        call(0, "", id="c1", name="a"),
        call(1, "", id="c2", name="b"),
        call(0, "[1"),
        call(1, "[2"),
        call(0, "]"),
        call(1, "]"),
    ]
    alike = [call(0, "[1", id="c1", name="a"), call(0, "]"), call(0, "[2]", id="c2", name="b")]
    for calls in (apart, alike):
        answer = streamed([delta(tool_calls=[one]) for one in calls]).message
        assert answer
        assert [(part["id"], part["name"], part["arguments"]) for part in answer["content"]] == [
            ("c1", "a", [1]),
            ("c2", "b", [2]),
        ]


def test_streams_of_refusals_audio_and_old_calls_are_assembled() -> None:
    answer = streamed([
        delta(refusal="No"), delta(refusal="."), delta(audio={"id": "a1", "data": "…"}),
        delta(function_call={"name": "f", "arguments": "{"}), delta(function_call={"arguments": "}"}),
    ]).message  # fmt: skip
    whole = {
        "role": "assistant",
        "refusal": "No.",
        "audio": {"id": "a1"},
        "function_call": {"name": "f", "arguments": "{}"},
    }
    assert answer == message(whole, "body")
    assert [part["type"] for part in message(whole, "body")["content"]] == ["text", "opaque", "tool_call"]


@pytest.mark.parametrize("stop", ["length", "max_tokens", "content_filter"])
def test_a_response_that_the_service_ended_is_cut(stop: str) -> None:
    body = {"choices": [{"message": {"content": "a"}, "finish_reason": stop}]}
    assert (reply(body).status, reply(body).stop) == ("cut", stop)


@pytest.mark.parametrize(("reason", "status"), [("###", "cut"), (151645, "complete"), (None, "complete")])
def test_a_response_that_a_stop_text_ended_is_cut_and_one_that_a_stop_token_ended_is_not(
    reason: Any, status: str
) -> None:
    ended = {"finish_reason": "stop", "stop_reason": reason}
    assert reply({"choices": [{"message": {"content": "a"}, **ended}]}).status == status
    assert streamed([delta(content="a"), {"choices": [{"index": 0, "delta": {}, **ended}]}]).status == status


def test_an_empty_response_is_complete_if_the_model_ended_it() -> None:
    body = {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
    assert (reply(body).status, reply(body).message) == ("complete", {"role": "assistant", "content": []})


def test_other_choices_are_left_out() -> None:
    choices = [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]
    answer = streamed([{"choices": choices}, {"choices": choices[:1]}]).message
    assert answer
    assert answer["content"] == [text("yes")]
    assert request({"messages": [], "n": 3}, "body").choices == 3


def test_definitions_of_the_form_before_tools_are_read() -> None:
    old = {"name": "f", "parameters": {}}
    assert request({"messages": [], "functions": [old]}, "body").tools == [old]
    assert tool_definitions([3, {}]) == ([], ["unknown", "unknown"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "field 'messages': expected a list of messages, got nothing"),
        ({"messages": ["a"]}, "field 'messages[0]': expected an object, got 'a'"),
        ({"messages": [{"role": ""}]}, "field 'messages[0].role': expected a non-empty string, got ''"),
    ],
)
def test_a_wrong_request_is_reported_with_its_field(body: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        request(body, "call 3")
    assert str(caught.value) == f"call 3: {words}"
