from __future__ import annotations

import json
from typing import Any

import pytest

from memscope.errors import SessionError, UsageError
from memscope.session.nodes import Branch, Session, memories_of
from memscope.session.text import leaf_text
from tests.session.formats.examples import example, read, turns

LAST_MOMENT = (
    "an agent file has the context of its last moment: earlier responses may have seen other values of the blocks"
)


def changed(name: str, **agent: Any) -> Session:
    document = json.loads(example(name))
    (document["agents"][1] if "agents" in document else document).update(agent)
    return read(json.dumps(document).encode(), pick="on-call" if "agents" in document else None)


def memories(session: Session) -> dict[str, str]:
    return {memory.key: memory.text for node in session.nodes for memory in memories_of(node)}


def test_messages_stand_in_the_order_of_the_context() -> None:
    session = read(example("letta.version-2.af"))
    assert turns(session)[1:] == [
        ("user", ("Content", turns(session)[1][1][1]), ("Opaque", "image")),
        ("assistant", ("Thinking", "I look it up."), ("Content", "One moment."), ("lookup", {"name": "staging"})),
        ("tool", ("ToolResult", '{"status": "OK", "message": "7432"}')),
        ("assistant", ("Opaque", "redacted_reasoning"), ("Content", "Port 7432.")),
        ("assistant", ("delete", {})),
    ]


def test_the_first_version_names_its_messages_by_position() -> None:
    session = read(example("letta.version-1.af"))
    assert turns(session)[1:] == [
        ("user", ("Content", "Which port?")),
        ("assistant", ("Content", "I say it."), ("send_message", {"message": "Port 7432."})),
        ("tool", ("ToolResult", '{"status": "OK"}')),
    ]
    assert memories(session) == {
        "human": '<human characters="42/5000">\nThe user is Mira. She likes short answers.\n</human>\n',
        "persona": '<persona characters="9/5000">\nI am Sam.\n</persona>',
    }
    assert [tool["function"]["name"] for tool in session.tools] == ["send_message"]
    assert session.header.model == "gpt-4o-mini"


def test_blocks_are_memories_under_their_labels_and_nothing_else_of_the_system_message_is() -> None:
    session = read(example("letta.version-2.af"))
    found = memories(session)
    assert list(found) == ["human", "persona"]
    assert found["human"].startswith("<human>\n<description>") and found["human"].endswith("</human>\n\n")
    assert session.source.rules == {"mark": ("human", "persona")}


def test_memory_metadata_is_no_memory_in_a_plain_prompt_either() -> None:
    system = read(example("letta.version-2.af")).nodes[0]
    assert isinstance(system, Branch)
    text = "".join(leaf_text(leaf) for leaf in system.children)
    messages = [{"role": "system", "content": text}, {"role": "user", "content": "Hi"}]
    assert read(json.dumps(messages).encode()).memory_keys() == ("human", "persona")


def test_what_the_file_lacks_and_what_was_skipped_is_told() -> None:
    session = read(example("letta.version-2.af"))
    assert session.source.context == "reconstructed"
    assert session.source.notes == (
        "this is agent on-call; choose another of the 2 with --pick: empty, on-call",
        LAST_MOMENT,
        "1 message of the agent not in the file",
        "1 tool of the agent not in the file",
        "blocks that the system message lacks: services",
        "1 evicted message skipped",
        "1 image part skipped",
        "1 redacted_reasoning part skipped",
        "1 empty message skipped",
    )


def test_a_context_without_a_system_message_gets_the_one_that_letta_writes() -> None:
    session = read(example("letta.string.af"))
    system = session.nodes[0]
    assert system.section == "system"
    assert list(memories(session)) == ["human", "persona", "services"]
    assert "The user is Mira." in memories(session)["human"]
    assert "the system message was rebuilt from the agent's instructions and blocks" in session.source.notes


def test_an_agent_that_does_not_list_its_context_has_all_messages_but_old_system_messages() -> None:
    messages = json.loads(example("letta.version-2.af"))["agents"][1]["messages"]
    old = {"id": "old", "role": "system", "content": [{"type": "text", "text": "Old."}]}
    session = changed("letta.version-2.af", in_context_message_ids=None, messages=[old, *messages])
    assert [turn[0] for turn in turns(session)][:4] == ["system", "tool", "user", "user"]
    assert list(memories(session)) == ["human", "persona"]


def test_parallel_results_are_told_apart() -> None:
    returns = [{"tool_call_id": f"c{n}", "func_response": f"result {n}"} for n in (1, 2)]
    message = {"role": "tool", "content": [{"type": "text", "text": "both"}], "tool_returns": returns, "id": "m"}
    session = changed("letta.version-2.af", messages=[message], in_context_message_ids=["m"])
    assert turns(session)[1] == ("tool", ("ToolResult", "result 1"), ("ToolResult", "result 2"))


def test_another_agent_is_picked_by_name_and_an_unknown_name_is_refused_with_the_known_ones() -> None:
    assert read(example("letta.version-2.af"), pick="empty").header.title == "empty"
    with pytest.raises(UsageError, match="no agent 'x'; the file has empty, on-call"):
        read(example("letta.version-2.af"), pick="x")


def test_agents_of_one_file_are_different_sessions() -> None:
    ids = {read(example("letta.version-2.af"), pick=name).header.id for name in ("empty", "on-call")}
    assert len(ids) == 2


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": 3}, "agents[1]: field 'messages': expected a list, got 3"),
    ({"messages": [3]}, "agents[1]: field 'messages[0]': expected a JSON object, got 3"),
    ({"block_ids": "b"}, "agents[1]: field 'block_ids': expected a list, got 'b'"),
    ({"system": 3, "in_context_message_ids": ["x"]}, "agents[1]: field 'system': expected a string, got 3"),
    (
        {"messages": [{"id": "m"}], "in_context_message_ids": ["m"]},
        "agents[1]: messages[0]: field 'role': expected a non-empty string, got nothing",
    ),
    (
        {"messages": [{"id": "m", "role": "user", "content": 3}], "in_context_message_ids": ["m"]},
        "agents[1]: messages[0]: field 'content': expected a string or a list of parts, got 3",
    ),
    (
        {"messages": [{"id": "m", "role": "assistant", "tool_calls": [{}]}], "in_context_message_ids": ["m"]},
        "agents[1]: messages[0]: field 'tool_calls[0].function.name': expected a non-empty string, got nothing",
    ),
]


@pytest.mark.parametrize(("agent", "words"), WRONG)
def test_an_invalid_field_is_reported_with_its_place(agent: dict[str, Any], words: str) -> None:
    with pytest.raises(SessionError) as caught:
        changed("letta.version-2.af", **agent)
    assert str(caught.value) == f"file: {words}"


def test_a_file_without_agents_is_reported() -> None:
    with pytest.raises(SessionError, match="field 'agents': expected at least one agent"):
        read(b'{"agents": [], "blocks": []}')
