from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any, cast

import anthropic.types
import openai.types.chat
import pytest

import memscope
from memscope.errors import UsageError
from memscope.session.nodes import Branch, Content, Memory, Session, Thinking, ToolCall, ToolResult
from memscope.session.text import responses
from tests.session.apis import bodies

PORT = "The staging database listens on port 7432."

DEEP: Any = reduce(lambda inner, _: [inner], range(101), cast("Any", []))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.jsonl"


def recorded(path: Path, messages: Any, response: Any, **fields: Any) -> Session:
    """Record one call and read the recording."""
    with memscope.Recorder(path) as recorder:
        recorder.call(messages, response, **fields)
    return memscope.load(path)


def leaves(session: Session) -> list[Any]:
    return [leaf for node in session.nodes if isinstance(node, Branch) for leaf in node.children]


def test_a_call_is_its_messages_and_its_response(path: Path) -> None:
    with memscope.Recorder(path, title="an agent") as recorder:
        system = {"role": "system", "content": ["Help.", recorder.memory("db/port", PORT)]}
        recorder.call(
            [system, "Which port?"], "7432.", model="m", usage={"input": 9, "output": 2}, tools=[bodies.CHAT_TOOL]
        )
    session = memscope.load(path)
    (call,) = session.calls
    assert [leaf.text for leaf in leaves(session)] == ["Help.", PORT, "Which port?", "7432."]
    assert session.memory_keys() == ("db/port",)
    assert (session.header.title, call.model, call.api, call.status) == ("an agent", "m", "openai-chat", "complete")
    assert call.extra == {"usage": {"input": 9, "output": 2}}
    assert call.tools == (bodies.CHAT_TOOL,)


def test_messages_can_be_sent_as_a_server_expects_them(path: Path) -> None:
    with memscope.Recorder(path) as recorder:
        memory = recorder.memory("k", "text")
        whole = {"role": "user", "content": "b", "memory": {"key": "k"}}
        sent = recorder.unmarked([{"role": "user", "content": ["a", memory]}, whole, "c"])
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "text"}]
        assert sent == [{"role": "user", "content": parts}, {"role": "user", "content": "b"}, "c"]
        assert recorder.unmarked([memory]) == parts[1:]
        assert "memory" in memory


def test_objects_of_the_openai_client_are_taken_as_they_are(path: Path) -> None:
    response = openai.types.chat.ChatCompletion.model_validate(bodies.CHAT_REPLY)
    messages = [
        "List the files.",
        response.choices[0].message,
        {"role": "tool", "tool_call_id": "call_1", "content": "a.py"},
    ]
    session = recorded(path, messages, response)
    assert leaves(session)[-3:] == leaves(session)[1:4]
    assert session.calls[0].model == bodies.CHAT_REPLY["model"]
    assert session.calls[0].extra["usage"] == {"input": 82, "output": 17}


def test_objects_of_the_anthropic_client_are_taken_as_they_are(path: Path) -> None:
    response = anthropic.types.Message.model_validate(bodies.ANTHROPIC_REPLY)
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.py"}
    messages = [
        "List the files.",
        {"role": "assistant", "content": response.content},
        {"role": "user", "content": [result]},
    ]
    session = recorded(path, messages, response, system="Help.")
    assert session.calls[0].api == "anthropic-messages"
    assert [type(leaf) for leaf in leaves(session)] == [
        Content, Content, Thinking, Content, ToolCall, ToolResult, Thinking, Content, ToolCall,
    ]  # fmt: skip


def test_the_items_of_the_responses_api_and_raw_prompts_are_taken_where_the_api_is_said(path: Path) -> None:
    with memscope.Recorder(path) as recorder:
        recorder.call("Hi", bodies.RESPONSES_REPLY, api="openai-responses", system="Help.")
        recorder.call("Once", " upon", api="openai-completions")
        recorder.call([1, 2], bodies.COMPLETIONS_REPLY, api="openai-completions")
    session = memscope.load(path)
    assert [call.api for call in session.calls] == ["openai-responses", "openai-completions", "openai-completions"]
    assert len(list(responses(session))) == 3
    assert leaves(session)[-2] == Content(text="", token_ids=(1, 2))


def test_a_marked_message_is_a_memory(path: Path) -> None:
    session = recorded(path, [{"role": "user", "content": PORT, "memory": {"key": "db/port"}}], None)
    assert leaves(session) == [Memory(key="db/port", text=PORT)]
    assert session.calls[0].status == "failed"


@pytest.mark.parametrize(
    ("messages", "fields", "words"),
    [
        ([{"content": "a"}], {}, "the call: field 'messages[0].role': expected a non-empty string, got nothing"),
        ([3], {}, "the call: field 'messages[0]': expected an object, got 3"),
        (["a"], {"timestamp": "noon"}, "timestamp 'noon': expected an RFC 3339 time such as 2026-11-20T10:00:00Z"),
        ([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"a": {1}}}]}], {}, "not JSON serializable"),
        ([{"role": "assistant", "tool_calls": [{"name": "f", "arguments": float("nan")}]}], {}, "not JSON compliant"),
        (["a"], {"tools": [{"name": "f", "parameters": DEEP}]}, "more than 100 lists and objects inside each other"),
    ],
    ids=range(6),
)
def test_a_call_that_cannot_be_recorded_is_told_on_stderr_and_raises_nothing(
    path: Path, capsys: pytest.CaptureFixture[str], messages: Any, fields: Any, words: str
) -> None:
    session = recorded(path, messages, "b", **fields)
    assert session.calls == ()
    told = capsys.readouterr().err
    assert told.startswith("memscope: a call could not be recorded: ")
    assert words in told


def test_what_a_program_has_wrong_is_an_error(path: Path) -> None:
    with memscope.Recorder(path) as recorder:
        with pytest.raises(UsageError, match="a memory is a key, which is not empty, and a text"):
            recorder.memory("", "text")
        with pytest.raises(UsageError, match="api 'gemini' is unknown; expected openai-chat, openai-responses,"):
            recorder.call("a", "b", api="gemini")
