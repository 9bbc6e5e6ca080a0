from __future__ import annotations

import json
from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.nodes import Session
from tests.session.formats.examples import example, read, turns

CONVERSATION = [
    ("user", ("Content", "Which port does staging use?")),
    ("assistant", ("sh", {"cmd": "ss -l"})),
    ("tool", ("ToolResult", "LISTEN 0.0.0.0:7432")),
    ("assistant", ("Thinking", "The memory and the socket agree."), ("Content", "Port 7432.")),
    ("user", ("Content", "And this?"), ("Opaque", "image_url")),
    ("assistant", ("Thinking", "It looks like one."), ("Content", "A dashboard.")),
]
KEYS = ("staging-postgres-listens-on-7432", "mira-prefers-short-answers")


def read_messages(*messages: Any) -> Session:
    return read(json.dumps(messages).encode())


def ai(**fields: Any) -> dict[str, Any]:
    return {"type": "ai", "data": {"content": "", **fields}}


@pytest.mark.parametrize(
    "name", ["langchain.messages-to-dict.json", "langchain.constructors.json", "langchain-lines.jsonl"]
)
def test_messages_are_the_same_in_every_form(name: str) -> None:
    session = read(example(name))
    assert turns(session)[1:] == CONVERSATION
    assert session.memory_keys() == KEYS
    assert session.header.model == "qwen3-27b"
    assert session.source.context == "reconstructed"
    assert session.source.notes == (
        "the definitions of the tools are not in the file",
        "1 image_url part skipped",
    )


@pytest.mark.parametrize("name", ["langchain.langgraph-state.json", "langchain.traced-run.json"])
def test_states_and_traced_runs_hold_a_conversation_with_its_answer(name: str) -> None:
    session = read(example(name))
    assert session.memory_keys() == KEYS
    assert turns(session)[-1] == ("assistant", ("Content", "Port 7432."))
    assert session.source.context == "whole context"


def test_without_a_system_message_the_context_may_lack_one() -> None:
    session = read_messages({"type": "human", "data": {"content": "Hi"}})
    assert session.source.context == "reconstructed"
    assert session.source.notes == ("no system message in the file: an agent may add one on each call",)


def test_a_call_is_read_once_though_a_block_repeats_it() -> None:
    call = {"name": "sh", "args": {"cmd": "ls"}, "id": "c1", "type": "tool_call"}
    block = {"type": "tool_use", "id": "c1", "name": "sh", "input": {"cmd": "ls"}}
    delta = {"type": "input_json_delta", "partial_json": "{}"}
    session = read_messages(ai(content=[block, delta], tool_calls=[call]), ai(content=[{**block, "id": "c2"}]))
    assert turns(session) == [("assistant", ("sh", {"cmd": "ls"}))] * 2


def test_calls_with_arguments_that_are_not_json_are_kept_as_the_model_wrote_them() -> None:
    session = read_messages(ai(invalid_tool_calls=[{"name": "sh", "args": "{cut off", "id": "c1"}]))
    assert turns(session) == [("assistant", ("sh", "{cut off"))]


def test_calls_as_the_api_sent_them_are_read_where_there_are_no_others() -> None:
    calls = [{"id": "c1", "function": {"name": "sh", "arguments": '{"cmd": "ls"}'}, "type": "function"}]
    session = read_messages(ai(additional_kwargs={"tool_calls": calls}))
    assert turns(session) == [("assistant", ("sh", {"cmd": "ls"}))]


def test_roles_of_its_own_and_of_openai_are_kept() -> None:
    session = read_messages(
        {"type": "system", "data": {"content": "a", "additional_kwargs": {"__openai_role__": "developer"}}},
        {"type": "chat", "data": {"content": "b", "role": "critic"}},
        {"type": "function", "data": {"content": "c", "name": "sh"}},
        {"type": "AIMessageChunk", "data": {"content": "d"}},
    )
    assert [turn[0] for turn in turns(session)] == ["developer", "critic", "tool", "assistant"]


def test_messages_of_other_types_are_skipped_and_counted() -> None:
    session = read_messages(ai(content="a"), {"type": "remove", "data": {"content": "", "id": "x"}})
    assert "1 remove message skipped" in session.source.notes


WRONG = [
    (3, "expected a LangChain message, got 3"),
    ({"data": {}}, "field 'type': expected the type of a LangChain message, got nothing"),
    (ai(content=3), "field 'content': expected a string or a list of blocks, got 3"),
    (ai(content=[3]), "field 'content[0]': expected a JSON object, got 3"),
    (ai(tool_calls=[{"args": {}}]), "field 'tool_calls[0].name': expected a non-empty string, got nothing"),
    ({"type": "chat", "data": {"content": "a"}}, "field 'role': expected a non-empty string, got nothing"),
]


@pytest.mark.parametrize(("message", "words"), WRONG)
def test_an_invalid_message_is_reported_with_its_number_and_field(message: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        read_messages(ai(content="a"), message)
    assert str(caught.value) == f"file: message 1: {words}"
