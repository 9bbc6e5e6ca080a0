"""A session of calls as an append-only one: what is kept, and what is said about the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from memscope.errors import SessionError, UsageError
from memscope.session.append_only import append_only
from memscope.session.detectors import Detector
from memscope.session.formats.builder import SessionBuilder
from memscope.session.formats.native import read_native
from memscope.session.formats.native_writer import write_native
from memscope.session.formats.recording import read_recording
from memscope.session.formats.registry import format_of
from memscope.session.nodes import Branch, Node, Opaque, Session
from memscope.session.text import leaf_text, responses
from tests.session.formats.test_registry import FILES
from tests.session.recordings import rows, written
from tests.session.strategies import QUICK


def text_of(nodes: Sequence[Node]) -> list[tuple[str, str]]:
    return [
        (node.role, "".join(leaf_text(leaf) for leaf in node.children)) for node in nodes if isinstance(node, Branch)
    ]


class Agent:
    """Records the calls of an agent that sends the whole conversation each time."""

    def __init__(self) -> None:
        self.builder = SessionBuilder("agent.jsonl", "recording", Detector())
        self.calls = 0

    def says(self, role: str, text: str, key: str | None = None) -> int:
        part: dict[str, Any] = {"type": "text", "text": text}
        return self.builder.message({"role": role, "content": [part | ({"memory": {"key": key}} if key else {})]}, "a")

    def answers(self, prompt: Sequence[int], text: str, **fields: Any) -> int:
        response = self.says("assistant", text)
        self.calls += 1
        self.builder.call(id=f"c{self.calls}", prompt=prompt, response=response, **fields)
        return response

    def session(self) -> Session:
        return self.builder.session(id="agent")


@pytest.mark.parametrize("name", FILES)
def test_a_session_of_any_format_survives_a_round_trip_through_the_native_one(name: str) -> None:
    original = format_of(FILES[name], "file").read(FILES[name], "file", Detector)
    converted, _ = append_only(original)
    again = read_native(write_native(converted), "file")
    assert text_of(again.nodes) == text_of(converted.nodes)
    assert again.memory_keys() == converted.memory_keys()
    assert set(again.memory_keys()) <= set(original.memory_keys())
    assert {one.text for one in responses(again)} <= {one.text for one in responses(original)}
    if original.calls:
        prompts = [text_of([original.nodes[position] for position in call.prompt]) for call in original.calls]
        assert text_of(again.nodes)[:-1] in prompts
    else:
        assert text_of(again.nodes) == text_of(original.nodes)
        assert again.memory_keys() == original.memory_keys()


@QUICK
@given(rows())
def test_any_recording_with_a_response_can_be_converted(made: list[dict[str, Any]]) -> None:
    original = read_recording(written(made), "r.jsonl", Detector)
    if not any(call.response is not None for call in original.calls):
        return
    try:
        converted, _ = append_only(original)
    except SessionError as error:
        assert "no call has a response" in str(error) or "raw completions" in str(error)
        return
    assert converted.calls == ()
    assert text_of(read_native(write_native(converted), "r.jsonl").nodes) == text_of(converted.nodes)


def test_the_thread_with_most_responses_is_kept_and_the_others_are_named() -> None:
    agent = Agent()
    system, first = agent.says("system", "You are Bob."), agent.says("user", "Hi")
    one = agent.answers([system, first], "Hello", timestamp="2026-11-20T10:00:00Z", model="bob-1")
    other = [agent.says("system", "Give it a title."), agent.says("user", "Hi / Hello")]
    agent.answers(other, "Greetings")
    second = agent.says("user", "Bye")
    agent.answers([system, first, one, second], "See you", model="bob-1")
    session = agent.session()
    kept, left_out = append_only(session)
    assert text_of(kept.nodes) == [
        ("system", "You are Bob."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Bye"),
        ("assistant", "See you"),
    ]
    assert kept.header.model == "bob-1"
    assert [one.timestamp for one in responses(kept)] == ["2026-11-20T10:00:00Z", None]
    assert left_out == ("thread 0 is kept, left out: thread 1 (1 response); choose another one with --thread",)
    title, _ = append_only(session, thread=1)
    assert text_of(title.nodes) == [
        ("system", "Give it a title."),
        ("user", "Hi / Hello"),
        ("assistant", "Greetings"),
    ]
    assert [node.section for node in title.nodes] == ["system", "conversation", "conversation"]
    with pytest.raises(UsageError, match="thread 2 does not exist: the session has threads 0 to 1"):
        append_only(session, thread=2)


def test_what_only_earlier_calls_had_is_left_out_and_named() -> None:
    agent = Agent()
    first = agent.says("user", "Hi")
    one = agent.answers([agent.says("system", "Likes tea.", key="tea"), first], "Hello")
    second = agent.says("user", "Bye")
    agent.answers([agent.says("system", "Has a cat.", key="cat"), first, one, second], "See you")
    kept, left_out = append_only(agent.session())
    assert kept.memory_keys() == ("cat",)
    assert left_out == (
        "prompts changed from call to call: all responses now have that of the last call",
        "1 memory left out that only earlier calls had: tea",
    )


def test_a_response_that_later_prompts_hold_without_its_reasoning_is_named() -> None:
    agent = Agent()
    first = agent.says("user", "Hi")
    content = [{"type": "thinking", "text": "hm"}, {"type": "text", "text": "Hello"}]
    reasoned = agent.builder.message({"role": "assistant", "content": content}, "a")
    agent.builder.call(id="c0", prompt=[first], response=reasoned)
    agent.answers([first, agent.says("assistant", "Hello"), agent.says("user", "Bye")], "See you")
    kept, left_out = append_only(agent.session())
    assert [one.text for one in responses(kept)] == ["Hello", "See you"]
    assert left_out == ("1 response left out: the prompt of the last call does not contain it as it was",)


def test_tools_and_parts_without_text_are_named() -> None:
    builder = SessionBuilder("a", "chat", Detector())
    content = [{"type": "opaque", "kind": "image", "bytes": 3}, {"type": "text", "text": "Look"}]
    builder.message({"role": "user", "content": content}, "a")
    kept, left_out = append_only(builder.session(id="a", tools=[{"name": "sh"}]))
    assert kept.tools == ()
    assert left_out == (
        "1 tool definition left out: a native session has none",
        "1 part without text became log entries",
    )
    (turn,) = read_native(write_native(kept), "a").nodes
    assert isinstance(turn, Branch)
    assert not any(isinstance(leaf, Opaque) for leaf in turn.children)


def test_what_cannot_be_converted_is_one_clear_error() -> None:
    agent = Agent()
    agent.builder.call(id="c1", prompt=[agent.says("user", "Hi")], response=None, status="failed")
    with pytest.raises(SessionError, match=r"agent.jsonl: no call has a response: nothing to convert"):
        append_only(agent.session())
    agent.answers([0], "Hello", api="openai-completions")
    with pytest.raises(SessionError, match="raw completions have no turns"):
        append_only(agent.session())
    with pytest.raises(UsageError, match="thread 1 does not exist: the session is one conversation"):
        append_only(read_native(FILES["native"], "a"), thread=1)
