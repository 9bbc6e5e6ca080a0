"""Codex rollouts: the history before each response, its memories, and what it cites."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memscope.session.detectors import Detector
from memscope.session.diagnosis import diagnose
from memscope.session.formats.codex.citations import Citation, citations, cited_keys
from memscope.session.formats.codex.rollout import FORMAT, CodexReader
from memscope.session.nodes import Branch, Call, Memory, Opaque, Session, Thinking, ToolCall
from memscope.session.positions import Positions
from memscope.session.text import leaf_text
from tests.session.formats.codex_files import Rollout, small_rollout
from tests.session.strategies import QUICK


def read(made: Rollout | bytes, name: str = "rollout-x.jsonl") -> Session:
    return FORMAT.read(made if isinstance(made, bytes) else made.data, name, Detector)


def shown(session: Session, positions: Iterable[int]) -> list[str]:
    nodes = [node for position in positions if isinstance(node := session.nodes[position], Branch)]
    return [f"{node.role}: {''.join(map(leaf_text, node.children))}" for node in nodes]


def call_of(session: Session, text: str) -> Call:
    found = [call for call in session.calls if call.response is not None and text in shown(session, [call.response])[0]]
    assert len(found) == 1
    return found[0]


def prompt_of(session: Session, text: str) -> list[str]:
    return shown(session, call_of(session, text).prompt)


def memories(session: Session) -> dict[str, str]:
    leaves = [leaf for node in session.nodes if isinstance(node, Branch) for leaf in node.children]
    return {leaf.key: leaf.text for leaf in leaves if isinstance(leaf, Memory)}


def test_memories_are_agents_files_the_sections_of_the_summary_and_the_files_that_tools_read() -> None:
    found = memories(read(small_rollout()))
    assert list(found) == [
        "memory_summary.md#User Profile",
        "memory_summary.md#Staging",
        "AGENTS.md",
        "memories/MEMORY.md",
    ]
    assert found["memory_summary.md#Staging"] == "## Staging\nPort 7432.\n"
    assert found["memories/MEMORY.md"] == "Staging listens on 7432."


def test_what_the_model_writes_between_two_inputs_is_one_response_with_the_history_before_it() -> None:
    session = read(small_rollout())
    assert len(session.calls) == 2
    first, second = (shown(session, call.prompt) for call in session.calls)
    assert first[0] == "system: You are a coding agent."
    assert [text.split(":")[0] for text in first] == ["system", "developer", "user", "user", "user"]
    assert second == [*first, shown(session, [session.calls[0].response or 0])[0], "tool: Staging listens on 7432."]
    assert {call.model for call in session.calls} == {session.header.model} == {"gpt-6-codex"}
    assert session.header.title == "Which port?"


def test_prompts_that_extend_each_other_share_their_positions() -> None:
    prompts = [one.prompt for one in read(small_rollout()).calls]
    assert len({id(prompt.origin) for prompt in prompts if isinstance(prompt, Positions)}) == 1


def test_the_text_of_the_instructions_is_unchanged() -> None:
    rows = small_rollout().rows
    written = rows[1]["payload"]["content"][0]["text"]
    assert f"developer: {written}" in prompt_of(read(small_rollout()), "7432.")


def test_what_the_answer_cites_is_kept_with_its_call() -> None:
    session = read(small_rollout())
    assert call_of(session, "7432.").cited == ("memories/MEMORY.md", "memory_summary.md#Staging")
    assert session.calls[0].cited == ()
    assert "1 citation of memories that are not in the file" in session.source.notes


def test_hidden_reasoning_is_opaque_and_shown_reasoning_is_not() -> None:
    made = small_rollout()
    made.says("user", "Why?")
    made.item(
        "reasoning",
        summary=[{"type": "summary_text", "text": "short"}],
        content=[{"type": "reasoning_text", "text": "Hm."}],
    )
    made.says("assistant", "Because.")
    session = read(made)
    kinds = [
        [type(leaf) for leaf in node.children]
        for call in session.calls
        if call.response is not None and isinstance(node := session.nodes[call.response], Branch)
    ]
    assert kinds[0] == [Opaque, ToolCall]
    assert kinds[2][0] is Thinking


def test_a_rollout_says_what_it_lacks() -> None:
    facts = diagnose(read(small_rollout()))
    assert facts["context"] == "reconstructed"
    assert "the definitions of the tools are not in the file" in facts["notes"]
    made = Rollout()
    made.meta(base=None)
    made.says("user", "Hi")
    made.says("assistant", "Hello")
    assert "the system prompt is not in the file" in read(made).source.notes


def test_a_compaction_replaces_the_history_and_what_it_kept_stays_the_same_message() -> None:
    made = small_rollout()
    kept = [made.rows[place]["payload"] for place in (1, 2)]
    summary = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "So far: 7432."}]}
    made.row("compacted", message="", replacement_history=[*kept, summary])
    made.says("user", "Go on.")
    made.says("assistant", "Going on.")
    session = read(made)
    before, after = session.calls[0].prompt, call_of(session, "Going on.").prompt
    assert after[:3] == before[:3]
    assert shown(session, after[3:]) == ["user: So far: 7432.", "user: Go on."]


def test_a_compaction_that_does_not_say_what_it_kept_keeps_the_settings_and_what_the_user_said() -> None:
    made = small_rollout()
    made.row("compacted", message="So far: 7432.")
    made.says("assistant", "Going on.")
    session = read(made)
    assert prompt_of(session, "Going on.")[-2:] == ["user: Which port?", "user: So far: 7432."]
    assert not any("tool" in text.split(":")[0] for text in prompt_of(session, "Going on."))
    assert any("1 compaction without the history" in note for note in session.source.notes)


def test_turns_that_were_rolled_back_are_in_no_later_prompt() -> None:
    made = small_rollout()
    made.says("user", "Which room?")
    made.says("assistant", "C217.")
    made.event("thread_rolled_back", num_turns=1)
    made.says("user", "Which day?")
    made.says("assistant", "Monday.")
    session = read(made)
    assert not any("room" in text or "C217" in text for text in prompt_of(session, "Monday."))
    assert any("7432." in text for text in prompt_of(session, "Monday."))


def test_every_kind_of_item_has_its_place() -> None:
    made = Rollout()
    made.meta()
    made.says("user", "Hi")
    made.item("custom_tool_call", name="apply_patch", input="*** Begin", call_id="c1")
    made.item("local_shell_call", call_id="c2", status="completed", action={"type": "exec", "command": ["ls"]})
    made.item("web_search_call", action={"type": "search", "query": "x"})
    made.item(
        "custom_tool_call_output",
        call_id="c1",
        output=[{"type": "input_text", "text": "done"}, {"type": "input_image"}],
    )
    made.item("function_call_output", call_id="c2", output={"content": "a.py", "success": True})
    made.item("ghost_snapshot", ghost_commit={})
    made.item("compaction", encrypted_content="abc")
    made.says("assistant", "Done.")
    session = read(made)
    prompt = prompt_of(session, "Done.")
    assert [text for text in prompt if text.startswith("tool")] == ["tool: done", "tool: a.py"]
    assert all(name in prompt[2] for name in ("apply_patch", "local_shell", "web_search"))
    assert "1 ghost_snapshot item skipped" in session.source.notes


def test_older_rollouts_without_envelopes_are_read() -> None:
    rows: list[Any] = [
        {"id": "old", "timestamp": "2025-08-01T10:00:00Z", "instructions": None},
        {"record_type": "state"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<user_instructions>\nUse tabs.\n</user_instructions>"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
    ]
    session = read("".join(json.dumps(row) + "\n" for row in rows).encode())
    assert list(memories(session)) == ["AGENTS.md"]
    assert len(call_of(session, "Hello").prompt) == 2


def test_unknown_rows_and_broken_lines_are_counted() -> None:
    made = small_rollout()
    for _ in range(2000):
        made.row("world_state", x=1)
    made.rows += [{"type": "a-new-kind"}, [], {"x": 1}]  # type: ignore[list-item]
    session = read(b"{broken\n" + made.data)
    assert len(session.calls) == 2
    expected = {"2000 world_state rows", "1 a-new-kind row", "2 untyped rows", "1 line"}
    assert {note.split(" skipped")[0] for note in session.source.notes if " skipped" in note} >= expected


def test_a_response_is_kept_back_until_it_is_complete() -> None:
    made = Rollout()
    made.meta()
    made.says("user", "Hi")
    made.says("assistant", "Let me see.")
    reader = CodexReader("r", Detector)
    reader.feed(made.data)
    assert not reader.session().calls
    made.calls("c1", "ls")
    made.event("token_count")
    reader.feed(b"".join(json.dumps(row).encode() + b"\n" for row in made.rows[-2:]))
    assert len(reader.session().calls) == 1
    assert "ls" in shown(reader.session(), [reader.session().calls[0].response or 0])[0]


def test_citations_are_read_from_their_block_alone() -> None:
    text = "See a.md:1-2|note=[x]\n<oai-mem-citation><citation_entries>./b.md:3|note=[y]\nc d.md:4-6|note=[z]\nno\n"
    assert list(citations(f"{text}</citation_entries></oai-mem-citation> d.md:7|")) == [
        Citation("b.md", 3, 3),
        Citation("c d.md", 4, 6),
    ]
    assert list(citations("<oai-mem-citation>" + "x:" * 200_000)) == []


def test_a_citation_names_a_file_by_the_end_of_its_path_and_a_section_by_its_lines() -> None:
    keys = {"memories/MEMORY.md": None, "s.md#A": range(1, 4), "s.md#B": range(4, 9), "OTHER-MEMORY.md": None}
    found = [Citation("MEMORY.md", 5, 5), Citation("s.md", 4, 4), Citation("gone.md", 1, 1)]
    assert cited_keys(found, keys) == (("memories/MEMORY.md", "s.md#B"), 1)
    assert cited_keys([Citation("s.md", 3, 4)], keys)[0] == ("s.md#A", "s.md#B")


@QUICK
@given(st.data())
def test_rows_of_any_shape_are_read_or_skipped(data: st.DataObject) -> None:
    made = small_rollout()
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = data.draw(st.sampled_from(made.rows))
        while isinstance(place, dict | list) and place:
            names = sorted(place) if isinstance(place, dict) else range(len(place))
            name = data.draw(st.sampled_from(names))
            if not isinstance(place[name], dict | list) or not place[name] or data.draw(st.booleans()):
                place[name] = data.draw(st.sampled_from([None, 0, "", "x", [], {}, [None], {"type": 3}, "message"]))
                break
            place = place[name]
    read(made)


@QUICK
@given(st.lists(st.integers(0, 4000), max_size=8))
def test_a_session_taken_while_the_file_grows_changes_nothing(cuts: list[int]) -> None:
    data = small_rollout().data
    reader = CodexReader("r", Detector)
    at = 0
    for cut in sorted(min(cut, len(data)) for cut in cuts):
        reader.feed(data[at:cut])
        reader.session()
        at = cut
    reader.feed(data[at:])
    reader.finish()
    assert reader.session() == read(data, "r")
