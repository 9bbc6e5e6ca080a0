from __future__ import annotations

import json
from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.nodes import Session
from tests.session.formats.examples import example, read, turns

CONVERSATION = [
    ("user", ("Content", "Which port does staging use?")),
    ("assistant", ("Thinking", "I look."), ("Content", "Let me look."), ("sh", {"cmd": "ss -l"})),
    ("tool", ("ToolResult", "LISTEN 0.0.0.0:7432")),
    ("user", ("Opaque", "image"), ("Content", "Thanks.")),
    ("assistant", ("Opaque", "redacted_thinking"), ("Content", "Port 7432.")),
]
KEYS = ("staging-postgres-listens-on-7432", "mira-prefers-short-answers")


def read_messages(*messages: Any, **fields: Any) -> Session:
    return read(json.dumps({"system": "Help.", "messages": messages, **fields}).encode())


@pytest.mark.parametrize("name", ["anthropic.request.json", "anthropic.exchange.json"])
def test_the_system_prompt_and_a_saved_response_belong_to_the_conversation(name: str) -> None:
    session = read(example(name))
    system, *conversation = turns(session)
    assert [node.section for node in session.nodes][:2] == ["system", "conversation"]
    assert system[0] == "system"
    assert session.memory_keys() == KEYS
    assert conversation == CONVERSATION
    assert session.header.model == "claude-sonnet-4-5"
    assert session.source.context == "whole context"


def test_tools_are_given_to_the_chat_template_and_those_of_the_service_are_noted() -> None:
    session = read(example("anthropic.request.json"))
    schema = {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]}
    function = {"name": "sh", "description": "Run a command.", "parameters": schema}
    assert session.tools == ({"type": "function", "function": function},)
    assert session.source.notes == (
        "the definition of the tool web_search_20250305 is the service's own and not in the file",
        "1 image part skipped",
        "1 redacted_thinking part skipped",
    )


def test_messages_alone_are_a_conversation_without_definitions_of_its_tools() -> None:
    session = read(example("anthropic.messages.json"))
    assert session.memory_keys() == KEYS
    assert session.source.context == "reconstructed"
    assert "the definitions of the tools are not in the file" in session.source.notes


def test_a_response_beside_the_messages_follows_them() -> None:
    response = {"type": "message", "role": "assistant", "model": "claude", "content": [{"type": "text", "text": "Hi."}]}
    session = read_messages({"role": "user", "content": "Hello"}, response=response, model="alias")
    assert turns(session)[1:] == [("user", ("Content", "Hello")), ("assistant", ("Content", "Hi."))]
    assert session.header.model == "claude"


def test_messages_in_the_shape_of_openai_keep_their_calls_and_results() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "sh", "arguments": '{"cmd": "ls"}'}}
    session = read_messages(
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.txt"},
        {"role": "assistant", "content": "Done.", "reasoning_content": "hm"},
    )
    assert turns(session)[1:] == [
        ("assistant", ("sh", {"cmd": "ls"})),
        ("tool", ("ToolResult", "a.txt")),
        ("assistant", ("Thinking", "hm"), ("Content", "Done.")),
    ]


def test_marked_blocks_are_memories() -> None:
    system = [{"type": "text", "text": "Help. "}, {"type": "text", "text": "Likes tea.", "memory": {"key": "tea"}}]
    session = read_messages({"role": "user", "content": "Hi"}, system=system)
    assert turns(session)[0] == ("system", ("Content", "Help. "), ("Memory", "tea"))


WRONG = [
    ({"role": "user", "content": 3}, "message 0: field 'content': expected a string or a list of blocks, got 3"),
    ({"role": "user", "content": [3]}, "message 0: field 'content[0]': expected a string or a block, got 3"),
    ({"content": "a"}, "message 0: field 'role': expected a non-empty string, got nothing"),
    (3, "message 0: expected an object, got 3"),
]


@pytest.mark.parametrize(("message", "words"), WRONG)
def test_an_invalid_message_is_reported_with_its_number(message: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        read_messages(message, anthropic_version="2023-06-01")
    assert str(caught.value) == f"file: {words}"
