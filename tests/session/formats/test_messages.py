from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from memscope.errors import SessionError
from memscope.session.detectors import Detector
from memscope.session.formats.chat import read_chat
from memscope.session.formats.chat_lines import FORMAT as CHAT_LINES
from memscope.session.formats.native import read_native
from memscope.session.formats.native_writer import write_native
from memscope.session.nodes import Branch, Content, Leaf, Memory, Session, Thinking, ToolCall
from tests.session.strategies import MESSAGES, QUICK


def read(*messages: Any, **given_beside: Any) -> Session:
    return read_chat({"messages": list(messages), **given_beside}, "chat.json", Detector())


def turn(message: Any) -> Branch:
    (node,) = read(message).nodes
    assert isinstance(node, Branch)
    return node


def said(content: Any) -> str:
    blocks = content if isinstance(content, list) else [content]
    return "".join(block if isinstance(block, str) else block["text"] for block in blocks)


@QUICK
@given(MESSAGES)
def test_joined_the_texts_of_a_turn_are_the_message_and_a_response_is_untouched(messages: list[Any]) -> None:
    session = read(*messages)
    assert len(session.nodes) == len(messages)
    for node, message in zip(session.nodes, messages, strict=True):
        assert isinstance(node, Branch)
        assert node.role == message["role"]
        texts = [leaf.text for leaf in node.children if isinstance(leaf, Content | Memory)]
        assert "".join(texts) == said(message["content"])
        if node.role == "assistant" and "memory" not in str(message):
            assert len(texts) <= 1


@QUICK
@given(MESSAGES)
def test_an_imported_session_can_be_written_as_a_native_one(messages: list[Any]) -> None:
    session = read(*messages)
    assert read_native(write_native(session), "s").nodes == session.nodes


@QUICK
@given(MESSAGES)
def test_what_rules_found_are_the_memories(messages: list[Any]) -> None:
    session = read(*messages)
    assert {key for keys in session.source.rules.values() for key in keys} == set(session.memory_keys())


def test_system_messages_at_the_head_are_the_system_section_and_later_ones_stay() -> None:
    roles = ("system", "developer", "user", "system", "assistant")
    session = read(*({"role": role, "content": role} for role in roles))
    assert [node.section for node in session.nodes] == ["system", "system", *["conversation"] * 3]


def test_a_marked_message_keeps_its_role_and_holds_one_memory() -> None:
    marked = {"role": "user", "content": 'Likes <memory key="b">tea</memory>', "memory": {"key": "a"}}
    assert turn(marked).role == "user"
    assert turn(marked).children == (Memory(key="a", text='Likes <memory key="b">tea</memory>'),)
    assert read(marked).source.rules == {"mark": ("a",)}


def test_a_marked_block_is_a_memory_between_contents() -> None:
    blocks = [
        {"type": "text", "text": "a"},
        "b",
        {"type": "text", "text": "m", "memory": {"key": "k"}},
        {"type": "text", "text": "c"},
    ]
    assert turn({"role": "user", "content": blocks}).children == (
        Content(text="ab"),
        Memory(key="k", text="m"),
        Content(text="c"),
    )


def test_a_rule_takes_no_part_of_an_item_around_a_mark() -> None:
    blocks = [
        {"type": "text", "text": "Notes:\n- Mira likes "},
        {"type": "text", "text": "green tea", "memory": {"key": "tea"}},
        {"type": "text", "text": " a lot\n- Mira has a cat\n"},
    ]
    session = read({"role": "system", "content": blocks})
    assert session.memory_keys() == ("tea",)


def test_blocks_that_are_not_text_are_skipped_and_counted() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:…"}}
    session = read({"role": "user", "content": [image, {"type": "text", "text": "a"}, image, {"type": "audio"}]})
    assert session.source.notes == (
        "2 content blocks of type image_url skipped: only text is scored",
        "1 content block of type audio skipped: only text is scored",
    )


DEEP = "[" * 81 + "]" * 81


def test_calls_become_leaves_and_their_arguments_json_where_they_parse() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "sh", "arguments": '{"cmd": "ls"}'}},
        {"id": "c2", "type": "function", "function": {"name": "sh", "arguments": "{cut off"}},
        {"id": "c3", "function": {"name": "sh", "arguments": DEEP}},
        {"name": "sh", "arguments": {"n": 1}},
    ]
    assert turn({"role": "assistant", "content": None, "tool_calls": calls}).children == (
        ToolCall(name="sh", arguments={"cmd": "ls"}, extra={"id": "c1"}),
        ToolCall(name="sh", arguments="{cut off", extra={"id": "c2"}),
        ToolCall(name="sh", arguments=DEEP, extra={"id": "c3"}),
        ToolCall(name="sh", arguments={"n": 1}),
    )


def test_a_tool_message_keeps_which_call_it_answers() -> None:
    answer = turn({"role": "tool", "tool_call_id": "c1", "name": "sh", "content": "done"})
    assert (answer.role, answer.extra) == ("tool", {"tool_call_id": "c1", "name": "sh"})
    assert answer.children == (Content(text="done"),)


SEARCH: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "function": {"name": "search_memory", "arguments": '{"query": "tea"}'}}],
}
RESULTS = '[{"key": "k1", "value": {"content": "Likes tea"}}, {"key": "k2", "value": {}}]'


@pytest.mark.parametrize("answer", [{"tool_call_id": "c1"}, {"name": "search_memory"}])
def test_what_a_memory_search_returned_are_memories(answer: dict[str, str]) -> None:
    session = read(SEARCH, {"role": "tool", "content": RESULTS, **answer})
    assert session.source.rules == {"langmem": ("k1", "k2")}


def test_a_record_without_a_key_is_named_by_what_it_says() -> None:
    results = '[{"id": 1, "memory": "Likes tea"}, {"id": 2, "memory": "Has a cat"}]'
    assert read(SEARCH, {"role": "tool", "content": results, "tool_call_id": "c1"}).memory_keys() == (
        "likes-tea",
        "has-a-cat",
    )


def test_what_another_tool_returned_are_none() -> None:
    assert read(SEARCH, {"role": "tool", "content": RESULTS, "tool_call_id": "c2"}).memory_keys() == ()


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_comes_before_the_answer(field: str) -> None:
    expected: tuple[Leaf, ...] = (Thinking(text="hm"), Content(text="a"))
    assert turn({"role": "assistant", "content": "a", field: "hm"}).children == expected


def test_a_response_that_quotes_a_memory_is_not_split() -> None:
    text = '<memory key="a">b</memory>'
    assert turn({"role": "assistant", "content": text}).children == (Content(text=text),)


def test_a_valid_time_becomes_the_timestamp_and_others_are_kept_unchanged() -> None:
    timed = turn({"role": "user", "content": "a", "created_at": "2026-11-20T10:00:00Z", "timestamp": 17})
    assert timed.timestamp == "2026-11-20T10:00:00Z"
    assert timed.extra == {"timestamp": 17}


def test_title_model_and_tools_come_from_beside_the_messages() -> None:
    session = read({"role": "user", "content": "a"}, title="t", model="m", tools=[{"type": "function"}])
    assert (session.header.title, session.header.model) == ("t", "m")
    assert session.tools == ({"type": "function"},)
    assert read().header.title == "chat"


def test_the_id_follows_the_messages_alone() -> None:
    one, other = ({"role": "user", "content": content} for content in "ab")
    assert read(one).header.id == read(one, title="t").header.id != read(other).header.id


WRONG: list[tuple[Any, str]] = [
    (3, "expected an object with a role, got 3"),
    ({"content": "a"}, "field 'role': expected a non-empty string, got nothing"),
    ({"role": "", "content": "a"}, "field 'role': expected a non-empty string, got ''"),
    ({"role": "user"}, "field 'content': expected a string or a list of blocks, got nothing"),
    ({"role": "user", "content": 3}, "field 'content': expected a string or a list of blocks, got 3"),
    ({"role": "user", "content": [3]}, "field 'content[0]': expected a text block, got 3"),
    ({"role": "user", "content": [{"type": "text"}]}, "field 'content[0].text': expected a string, got nothing"),
    (
        {"role": "user", "content": "a", "memory": {"key": ""}},
        "field 'memory.key': expected a non-empty string, got ''",
    ),
    (
        {"role": "user", "content": [{"type": "text", "text": "a", "memory": "k"}]},
        "field 'content[0].memory.key': expected a non-empty string, got nothing",
    ),
    ({"role": "assistant", "content": None, "tool_calls": {}}, "field 'tool_calls': expected a list, got {}"),
    (
        {"role": "assistant", "content": None, "tool_calls": [{"function": {}}]},
        "field 'tool_calls[0].function.name': expected a non-empty string, got nothing",
    ),
]


@pytest.mark.parametrize(("message", "words"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_message_is_reported_by_number_or_line(message: Any, words: str) -> None:
    fine = {"role": "user", "content": "a"}
    with pytest.raises(SessionError) as caught:
        read(fine, message)
    assert str(caught.value) == f"chat.json: message 1: {words}"
    lines = b"\n\n".join(msgspec.json.encode(one) for one in (fine, message))
    with pytest.raises(SessionError) as caught:
        CHAT_LINES.read(lines + b"\n", "chat.jsonl", Detector)
    assert str(caught.value) == f"chat.jsonl:3: {words}"


def test_tools_that_are_not_a_list_of_objects_are_reported() -> None:
    with pytest.raises(SessionError, match=r"chat\.json: field 'tools': expected a list of objects"):
        read({"role": "user", "content": "a"}, tools=["sh"])


def test_fields_of_a_document_that_look_like_content_and_are_not_read_are_named() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    unread = {"instructions": "You are Bob.", "memories": [{"text": "Mira likes"}, {"text": "green tea"}]}
    labels = {"id": "abc-1234567890123", "created_at": "2026-11-20T10:00:00Z", "temperature": 0.5, "user": "mira b"}
    session = read_chat({"messages": messages, "title": "a long title", **unread, **labels}, "s.json", Detector())
    assert session.source.notes == (
        "the field 'instructions' of the document is not read: 12 characters of text",
        "the field 'memories' of the document is not read: 19 characters of text",
    )


def test_a_memory_element_that_no_rule_takes_is_reported() -> None:
    text = '<memory key="a">one</memory> <memory>two</memory> <memory name="x">three</memory>'
    session = read_chat([{"role": "system", "content": text}], "s.json", Detector(["tags"]))
    assert session.memory_keys() == ("a",)
    (note,) = session.source.notes
    assert note.startswith("2 <memory> elements not recognised")


def test_a_conversation_that_grows_stays_the_same_session() -> None:
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]
    first = read_chat(messages, "s.json", Detector()).header.id
    longer = [{"role": "system", "content": "changed"}, messages[1], {"role": "assistant", "content": "c"}]
    assert read_chat(longer, "s.json", Detector()).header.id == first
    other = [messages[0], {"role": "user", "content": "another"}]
    assert read_chat(other, "s.json", Detector()).header.id != first
