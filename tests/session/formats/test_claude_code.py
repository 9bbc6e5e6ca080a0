"""Claude Code transcripts: each response has the prompt that it really had."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.demo import model_folder
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.detectors import Detector
from memscope.session.diagnosis import diagnose
from memscope.session.formats.claude_code.transcript import FORMAT, ClaudeCodeReader
from memscope.session.formats.memory_files import memory_key
from memscope.session.formats.registry import format_of
from memscope.session.load import load_session
from memscope.session.nodes import Branch, Call, Memory, Opaque, Session, Thinking, ToolCall, memories_of
from memscope.session.positions import Positions
from memscope.session.text import leaf_text, responses
from tests.session.formats.claude_files import PROJECT, Transcript, call, small_transcript
from tests.session.strategies import QUICK


def read(made: Transcript | bytes, name: str = "session.jsonl") -> Session:
    return FORMAT.read(made if isinstance(made, bytes) else made.data, name, Detector)


def shown(session: Session, positions: Iterable[int]) -> list[str]:
    """Return nodes as "role: text"."""
    nodes = [node for position in positions if isinstance(node := session.nodes[position], Branch)]
    return [f"{node.role}: {''.join(map(leaf_text, node.children))}" for node in nodes]


def prompt_of(session: Session, text: str) -> list[str]:
    """Return the prompt of the response with this text."""
    return shown(session, _call_of(session, text).prompt)


def _call_of(session: Session, text: str) -> Call:
    found = [call for call in session.calls if call.response is not None and text in shown(session, [call.response])[0]]
    assert len(found) == 1
    return found[0]


def memories(session: Session) -> dict[str, str]:
    return {
        leaf.key: leaf.text
        for node in session.nodes
        if isinstance(node, Branch)
        for leaf in node.children
        if isinstance(leaf, Memory)
    }


def test_every_kind_of_memory_is_found_under_its_file() -> None:
    session = read(small_transcript())
    assert list(memories(session)) == [
        "CLAUDE.md",
        "~/.claude/CLAUDE.md",
        "db/CLAUDE.md",
        "memory/db.md",
        "memory/tea.md",
        "hook/SessionStart:startup",
    ]
    assert "Contents of /home/mira/shop/CLAUDE.md:\n\nUse tabs.\n" in memories(session)["CLAUDE.md"]
    assert "Old note:\n\nLikes tea." in memories(session)["memory/tea.md"]


def test_a_memory_has_the_same_text_wherever_it_stands() -> None:
    made = Transcript()
    files = [{"path": f"{PROJECT}/CLAUDE.md", "content": "Use tabs."}]
    made.attach("instructions", files=files)
    made.user("Hi")
    made.attach("instructions", files=files)
    made.assistant("Hello")
    texts = {leaf.text for node in read(made).nodes for leaf in memories_of(node)}
    assert len(texts) == 1


def test_what_the_agent_itself_adds_is_in_the_prompt_and_is_no_title() -> None:
    made = Transcript()
    made.user("Caveat: what follows was typed.", isMeta=True)
    made.row("system", subtype="local_command", content="<local-command-stdout>ok</local-command-stdout>")
    made.user("Which port?")
    made.assistant("7432")
    session = read(made)
    (prompt,) = prompt_of(session, "7432")
    assert prompt.startswith("user: Caveat: what follows was typed.\n<local-command-stdout>ok")
    assert session.header.title == "Which port?"


def test_a_prompt_is_the_system_prompt_and_the_chain_of_rows_and_rows_of_one_message_are_one_response() -> None:
    session = read(small_transcript())
    system, user, answer, result = prompt_of(session, "7432.")
    assert system == "system: You are an agent.\n\nBe brief."
    assert user.startswith("user: <system-reminder>\nContents of")
    assert "Which port?" in user
    assert answer.startswith("assistant: Let me look.<tool_call>")
    assert result == "tool: port=7432"
    assert prompt_of(session, "Let me look.") == [system, user]
    assert _call_of(session, "7432.").tools == (
        {"name": "Bash", "description": "run", "parameters": {"type": "object"}},
    )


def test_the_header_says_who_answered_and_what_about() -> None:
    header = read(small_transcript()).header
    assert (header.model, header.title) == ("claude-opus-5", "The staging port")
    assert {one.model for one in read(small_transcript()).calls} == {"claude-opus-5"}


def test_the_title_is_else_the_first_prompt() -> None:
    made = Transcript()
    made.user("<command-name>/clear</command-name>")
    made.user("Which  port\nis it?")
    made.assistant("7432.")
    assert read(made).header.title == "Which port is it?"


def test_a_whole_file_says_so_and_an_older_one_says_what_it_lacks() -> None:
    assert diagnose(read(small_transcript()))["context"] == "whole context"
    made = Transcript()
    made.user("Hi")
    made.assistant("Hello")
    facts = diagnose(read(made))
    assert facts["context"] == "reconstructed"
    assert "the system prompt is not in the file" in facts["notes"]
    assert "CLAUDE.md and other memory files are not in the file: --project DIR reads them from disk" in facts["notes"]


def test_memory_files_that_a_message_quotes_are_not_said_to_be_missing() -> None:
    made = Transcript()
    contents = "Contents of /home/mira/.claude/CLAUDE.md (user's private global instructions for all projects):"
    made.user(f"<system-reminder>\n# claudeMd\n{contents}\n\n# Me\n- Likes tea.\n</system-reminder>\nHi")
    made.assistant("Hello")
    session = read(made)
    assert session.memory_keys() == (".claude/CLAUDE.md#Me/likes-tea",)
    assert session.source.notes == ("the system prompt is not in the file",)


def test_instruction_files_without_text_are_named() -> None:
    made = small_transcript()
    made.rows[2]["attachment"]["files"][0].pop("content")
    session = read(made)
    assert "CLAUDE.md" not in memories(session)
    assert session.source.context == "reconstructed"
    assert "the text of CLAUDE.md is not in the file: --project DIR reads it from disk" in session.source.notes


def test_a_file_named_again_without_its_text_has_the_text_it_had() -> None:
    made = small_transcript()
    made.attach("instructions", files=[{"path": f"{PROJECT}/CLAUDE.md", "type": "Project"}])
    made.user("And now?")
    made.assistant("Tabs.")
    assert "Use tabs." in prompt_of(read(made), "Tabs.")[-1]


def test_memory_files_of_older_transcripts_are_read_from_the_project(tmp_path: Path) -> None:
    project, own = tmp_path / "shop", tmp_path / "transcripts"
    (own / "memory").mkdir(parents=True)
    project.mkdir()
    (project / "CLAUDE.md").write_text("Use tabs.")
    (own / "memory" / "MEMORY.md").write_text("- Likes tea")
    made = Transcript(cwd=str(project))
    made.user("Hi")
    made.assistant("Hello")
    path = own / "old.jsonl"
    path.write_bytes(made.data)
    assert not load_session(path).memory_keys()
    session = load_session(path, project=project)
    assert session.memory_keys()[0] == "CLAUDE.md"
    assert len(session.memory_keys()) == 2
    assert session.source.context == "from disk"
    assert "CLAUDE.md, MEMORY.md read from disk, may have changed" in session.source.notes


def test_files_without_text_are_read_from_the_project_and_from_nowhere_else(tmp_path: Path) -> None:
    project, own = tmp_path / "shop", tmp_path / "transcripts"
    paths = [project / "CLAUDE.md", own / "memory" / "MEMORY.md", tmp_path / "secret.md"]
    for path in paths:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(f"This is {path.name}.")
    made = Transcript(cwd=str(project))
    made.attach("instructions", files=[{"path": str(path), "type": "Project"} for path in (*paths, "a\0b")])
    made.user("Hi")
    made.assistant("Hello")
    (own / "session.jsonl").write_bytes(made.data)
    session = load_session(own / "session.jsonl", project=project)
    assert [text.splitlines()[3] for text in memories(session).values()] == ["This is CLAUDE.md.", "This is MEMORY.md."]
    assert session.source.context == "from disk"
    assert "the text of secret.md, a\0b is not in the file: --project DIR reads it from disk" in session.source.notes
    assert not load_session(own / "session.jsonl").memory_keys()


def test_a_recorded_file_is_never_replaced_from_disk(tmp_path: Path) -> None:
    (tmp_path / "CLAUDE.md").write_text("Something else.")
    path = tmp_path / "session.jsonl"
    path.write_bytes(small_transcript().data)
    session = load_session(path, project=tmp_path)
    assert not any("Something else" in text for text in memories(session).values())
    assert session.source.context == "whole context"


def test_going_back_to_an_earlier_prompt_gives_a_branch() -> None:
    made = Transcript()
    first = made.user("Hi")
    made.assistant("Hello")
    made.user("Which port?")
    made.assistant("8000")
    made.user("Which room?", parent=first)
    made.assistant("C217")
    session = read(made)
    assert prompt_of(session, "8000") == ["user: Hi", "assistant: Hello", "user: Which port?"]
    assert prompt_of(session, "C217") == ["user: Hi\nWhich room?"]


def test_prompts_that_extend_each_other_share_their_positions() -> None:
    made = Transcript()
    for number in range(5):
        made.user(f"Question {number}?")
        made.assistant(f"Answer {number}.")
    prompts = [one.prompt for one in read(made).calls]
    assert [len(prompt) for prompt in prompts] == [1, 3, 5, 7, 9]
    assert len({id(prompt.origin) for prompt in prompts if isinstance(prompt, Positions)}) == 1


def test_two_answers_to_one_prompt_share_it() -> None:
    made = Transcript()
    asked = made.user("Which port?")
    made.assistant("7432")
    made.assistant("8000", parent=asked)
    session = read(made)
    assert _call_of(session, "7432").prompt == _call_of(session, "8000").prompt


def test_a_sub_agent_has_a_prompt_of_its_own() -> None:
    made = small_transcript()
    main = made.last
    made.user("Find the port.", parent=None, isSidechain=True, agentId="a1")
    made.assistant("Found it.", isSidechain=True, agentId="a1")
    made.user("Thanks", parent=main)
    made.assistant("Welcome")
    session = read(made)
    assert prompt_of(session, "Found it.") == ["user: Find the port."]
    assert "user: Thanks" in prompt_of(session, "Welcome")
    assert not any("Found it." in text for text in prompt_of(session, "Welcome"))
    assert "1 response of sub-agents, whose system prompt is not in the file" in session.source.notes
    assert session.source.context == "reconstructed"


def test_the_file_of_a_sub_agent_is_about_the_sub_agent(tmp_path: Path) -> None:
    made = Transcript(isSidechain=True, agentId="a1", cwd=str(tmp_path))
    made.user("Find the port.")
    made.assistant("Found it.")
    (tmp_path / "agent-a1.jsonl").write_bytes(made.data)
    (tmp_path / "CLAUDE.md").write_text("Use tabs.")
    session = load_session(tmp_path / "agent-a1.jsonl", project=tmp_path)
    assert session.header.title == "Find the port."
    assert session.memory_keys() == ("CLAUDE.md",)
    assert "the system prompt is not in the file" in session.source.notes


def test_after_a_compaction_the_context_is_the_summary_and_the_instruction_files() -> None:
    made = small_transcript()
    made.row("system", subtype="compact_boundary", parent=None, logicalParentUuid=made.last)
    made.user("The port is 7432.", isCompactSummary=True)
    made.user("Go on.")
    made.assistant("Going on.")
    system, user = prompt_of(read(made), "Going on.")
    assert system.startswith("system: You are an agent.")
    assert "Use tabs." in user
    assert user.endswith("The port is 7432.\nGo on.")
    assert "Port 7432." not in user


def test_a_boundary_cuts_even_if_it_names_a_parent_and_no_summary_is_marked() -> None:
    made = Transcript()
    made.user("Hi")
    made.assistant("Hello")
    made.row("system", subtype="compact_boundary")
    made.user("In short: hello.")
    made.assistant("Yes.")
    assert prompt_of(read(made), "Yes.") == ["user: In short: hello."]


def test_a_summary_without_a_boundary_cuts_too() -> None:
    made = Transcript()
    made.user("Hi")
    made.assistant("Hello")
    made.user("In short: hello.", isCompactSummary=True)
    made.assistant("Yes.")
    assert prompt_of(read(made), "Yes.") == ["user: In short: hello."]


def test_tools_called_at_once_may_answer_before_the_last_call_is_written() -> None:
    made = Transcript()
    made.user("Look.")
    made.assistant(call("Read", "t1"), message="m1", stop=None)
    made.result("t1", "one")
    made.assistant(call("Read", "t2"), message="m1", stop=None)
    made.result("t2", "two")
    made.assistant("Both.", message="m2")
    session = read(made)
    assert len(session.calls) == 2
    assert [text.split(":")[0] for text in prompt_of(session, "Both.")] == ["user", "assistant", "tool"]
    assert prompt_of(session, "Both.")[-1] == "tool: onetwo"


def test_results_of_tools_called_at_once_are_all_in_the_prompt_though_they_are_siblings() -> None:
    made = Transcript()
    made.user("Look.")
    first = made.assistant(call("Read", "t1"), message="m1", stop=None)
    second = made.assistant(call("Read", "t2"), message="m1", stop=None)
    made.result("t1", "one", parent=first)
    made.result("t2", "two", parent=second)
    made.assistant("Both.", message="m2")
    assert prompt_of(read(made), "Both.")[-1] == "tool: onetwo"


def test_the_system_prompt_of_a_response_is_the_last_one_before_it() -> None:
    made = Transcript()
    made.user("Hi")
    made.assistant("First.")
    made.attach("prompt_snapshot", systemPrompt="Old.", tools=[])
    made.attach("prompt_snapshot", systemPrompt="Older still.", tools=[])
    made.user("Again")
    made.assistant("Second.")
    made.attach("prompt_snapshot", systemPrompt=["New."], tools=["Bash"])
    made.user("And again")
    made.assistant("Third.")
    session = read(made)
    systems = [prompt_of(session, text)[0] for text in ("First.", "Second.", "Third.")]
    assert systems == ["system: Old.", "system: Older still.", "system: New."]
    assert _call_of(session, "Third.").tools == ({"name": "Bash", "parameters": {}},)


def test_account_data_is_never_read() -> None:
    made = small_transcript()
    made.attach("session_context", content="secret@example.com", account={"email": "secret@example.com"})
    made.attach("credential_org", org="Secret Inc", content="Secret Inc")
    made.user("Hi")
    made.assistant("Hello")
    session = read(made)
    assert "ecret" not in repr(session)
    assert "account data left out of 2 attachments" in session.source.notes


def test_what_was_typed_during_the_work_and_other_text_attachments_are_part_of_the_prompt() -> None:
    made = Transcript()
    made.user("Hi")
    made.attach("queued_command", prompt="Also check the room.", commandMode="prompt")
    made.attach("model", text="You are powered by Opus.")
    made.attach("edited_text_file", filename="a.py", snippet="1 x = 1")
    made.attach("file", filename="/x/a.py", displayPath="a.py", content={"type": "text", "file": {"content": "x = 2"}})
    made.attach("hook_additional_context", hookEvent="Stop", content="")
    made.assistant("Yes.")
    (prompt,) = prompt_of(read(made), "Yes.")
    assert all(text in prompt for text in ("Also check the room.", "powered by Opus", "1 x = 1", "x = 2"))


def test_what_a_hook_adds_is_one_memory_unless_a_rule_finds_memories_in_it() -> None:
    made = Transcript()
    made.attach("instructions", files=[{"path": f"{PROJECT}/CLAUDE.md", "content": "Use tabs."}])
    made.user("Hi")
    made.attach("hook_additional_context", hookName="UserPromptSubmit", content='<memory key="db">Port 7432</memory>')
    made.assistant("Hello")
    assert memories(read(made))["db"] == '<memory key="db">Port 7432</memory>\n'
    assert list(memories(read(made))) == ["CLAUDE.md", "db"]


def test_thinking_images_and_unknown_blocks_are_kept_apart_from_text() -> None:
    made = Transcript()
    image = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
    made.user([{"type": "text", "text": "Look"}, image])
    hidden = {"type": "thinking", "thinking": "", "signature": "abc"}
    made.assistant({"type": "thinking", "thinking": "Hm."}, hidden, {"type": "redacted_thinking", "data": "x"}, "Yes.")
    made.result("nowhere", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}, image])
    made.assistant("Done.")
    session = read(made)
    answer = session.nodes[_call_of(session, "Yes.").response or 0]
    assert isinstance(answer, Branch)
    assert [type(leaf) for leaf in answer.children[:3]] == [Thinking, Opaque, Opaque]
    assert prompt_of(session, "Done.")[-1] == "tool: ab"


def test_a_response_that_reached_its_limit_has_no_end() -> None:
    made = Transcript()
    made.user("Go on.")
    made.assistant("One, two", stop="max_tokens")
    made.user("And?")
    made.assistant("Three.")
    assert [call.status for call in read(made).calls] == ["cut", "complete"]


def test_a_response_after_a_response_does_not_continue_its_turn() -> None:
    made = Transcript()
    made.user("Go on.")
    made.assistant("One.")
    made.assistant("Two.")
    tokenizer = Tokenizer.load(model_folder())
    prompt = render(read(made), tokenizer)
    assert [tokenizer.decode(prompt.continuation_ids(index)) for index in range(2)] == [
        "One.<|im_end|>",
        "Two.<|im_end|>",
    ]
    assert tokenizer.decode(prompt.context_ids(1)).endswith("One.<|im_end|>\n<|im_start|>assistant\n")


def test_errors_of_the_service_are_no_responses() -> None:
    made = small_transcript()
    made.assistant("API Error: 529 Overloaded", isApiErrorMessage=True, model="<synthetic>")
    made.assistant("No response requested.", model="<synthetic>")
    made.user("Again")
    made.assistant("Here.")
    session = read(made)
    assert len(session.calls) == 3
    assert not any("529" in text for text in prompt_of(session, "Here."))
    assert "2 API error messages skipped" in session.source.notes


def test_rows_that_add_nothing_are_counted_by_type_and_do_not_break_the_chain() -> None:
    made = Transcript()
    made.user("Hi")
    for _ in range(3000):
        made.row("progress", data={"type": "hook_progress"})
    made.row("system", subtype="turn_duration", durationMs=1)
    made.plain(type="queue-operation", operation="enqueue", sessionId="a-session")
    made.plain(type="a-new-kind")
    made.plain(no="type")
    made.rows.append([])  # type: ignore[arg-type]
    made.attach("a_new_kind", content="?")
    made.assistant("Hello")
    session = read(made)
    assert prompt_of(session, "Hello") == ["user: Hi"]
    skipped = {
        "3000 progress rows",
        "1 system row",
        "1 queue-operation row",
        "1 a-new-kind row",
        "1 a_new_kind attachment",
    }
    assert {f"{what} skipped" for what in skipped} <= set(session.source.notes)
    assert "2 untyped rows skipped" in session.source.notes


def test_a_repeated_row_counts_once() -> None:
    made = small_transcript()
    made.rows += made.rows[1:5]
    session = read(made)
    assert len(session.calls) == 2
    assert "4 repeated rows skipped" in session.source.notes


def test_a_parent_in_another_file_leaves_the_beginning_unknown() -> None:
    made = Transcript()
    made.user("Go on.", parent="in another file")
    made.assistant("Yes.")
    session = read(made)
    assert prompt_of(session, "Yes.") == ["user: Go on."]
    assert any("a row's parent is not in the file" in note for note in session.source.notes)


def test_a_parent_may_come_later_in_the_file() -> None:
    made = Transcript()
    made.user("Hi", uuid="u1")
    made.assistant("Hello", uuid="a1")
    made.user("Which port?", uuid="u2")
    made.assistant("7432", uuid="a2")
    rows = made.rows
    made.rows = [rows[2], rows[3], rows[0], rows[1]]
    session = read(made)
    assert prompt_of(session, "7432") == ["user: Hi", "assistant: Hello", "user: Which port?"]
    reader = ClaudeCodeReader("session.jsonl", Detector)
    for row in made.rows:
        reader.feed(json.dumps(row).encode() + b"\n")
        reader.session()
    reader.finish()
    assert reader.session() == session


@pytest.mark.parametrize(
    "kinds", [("user", "user"), ("assistant", "assistant"), ("progress", "progress"), ("user", "assistant")]
)
def test_rows_that_are_each_others_parents_end_the_prompt(kinds: tuple[str, str]) -> None:
    made = Transcript()
    rows: dict[str, Any] = {
        "user": lambda **fields: made.user("Hi", **fields),
        "assistant": lambda **fields: made.assistant("Hello", **fields),
        "progress": lambda **fields: made.row("progress", **fields),
    }
    rows[kinds[0]](uuid="a", parent="b")
    rows[kinds[1]](uuid="b", parent="a")
    made.user("Which port?")
    made.assistant("7432")
    session = read(made)
    assert prompt_of(session, "7432")[-1].endswith("Which port?")


def test_lines_that_are_not_json_are_counted() -> None:
    data = small_transcript().data.replace(b"\n", b"\n{broken\n", 1) + b'{"type":"user","mess'
    session = read(data)
    assert len(session.calls) == 2
    assert "2 lines skipped: not JSON" in session.source.notes


def test_a_response_is_kept_back_until_it_is_complete() -> None:
    made = Transcript()
    made.user("Look.")
    made.assistant("Let me", message="m1", stop=None)
    reader = ClaudeCodeReader("session.jsonl", Detector)
    reader.feed(made.data)
    assert not reader.session().calls
    made.assistant(call("Read", "t1"), message="m1", stop="tool_use")
    reader.feed(json.dumps(made.rows[-1]).encode() + b"\n")
    (one,) = reader.session().calls
    assert one.response is not None
    assert any(isinstance(leaf, ToolCall) for leaf in reader.session().nodes[one.response].children)  # type: ignore[union-attr]


def test_rows_that_do_not_show_what_the_file_is_may_come_first() -> None:
    made = small_transcript()
    made.rows[:0] = [{"type": "mode", "mode": "normal"}, {"type": "last-prompt"}]
    assert format_of(made.data, "file") is FORMAT


def test_files_of_one_session_have_ids_of_their_own(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("a.jsonl", "agent-1.jsonl")]
    assert len({read(small_transcript(), name).header.id for name in names}) == 2
    assert read(small_transcript(), names[0]).header.id == read(small_transcript(), names[0]).header.id


def test_lists_in_the_output_of_tools_are_not_memories() -> None:
    made = Transcript()
    made.user("Look.")
    made.assistant(call("Read", "t1"), stop="tool_use")
    made.result("t1", 'User Memories:\n- Likes tea\n<memory key="x">y</memory>')
    made.assistant("Done.")
    assert not memories(read(made))


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/home/mira/shop/CLAUDE.md", "CLAUDE.md"),
        ("/home/mira/shop/db/CLAUDE.md", "db/CLAUDE.md"),
        ("/home/mira/.claude/CLAUDE.md", "~/.claude/CLAUDE.md"),
        ("/home/mira/.claude/projects/-home-mira-shop/memory/MEMORY.md", "memory/MEMORY.md"),
        ("/home/mira/.codex/memories/MEMORY.md", "memories/MEMORY.md"),
        ("C:\\Users\\mira\\.claude\\CLAUDE.md", "~/.claude/CLAUDE.md"),
        ("/elsewhere/CLAUDE.md", "/elsewhere/CLAUDE.md"),
    ],
)
def test_the_key_of_a_memory_file_is_its_path_in_the_project_or_in_the_agents_folder(path: str, key: str) -> None:
    assert memory_key(path, "/home/mira/shop") == key


@QUICK
@given(st.data())
def test_rows_of_any_shape_are_read_or_skipped(data: st.DataObject) -> None:
    """Replace values anywhere in a transcript: reading it never fails, whatever the rows hold."""
    made = small_transcript()
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.sampled_from(made.rows))
        place: Any = row
        while isinstance(place, dict | list) and place:
            names = sorted(place) if isinstance(place, dict) else range(len(place))
            name = data.draw(st.sampled_from(names))
            if not isinstance(place[name], dict | list) or not place[name] or data.draw(st.booleans()):
                place[name] = data.draw(st.sampled_from([None, 0, "", "x", [], {}, [None], {"type": 3}, made.last]))
                break
            place = place[name]
    session = read(made)
    assert all(one.prompt for one in session.calls) or len(list(responses(session))) <= len(session.calls)


@QUICK
@given(st.lists(st.integers(0, 4000), max_size=8))
def test_a_session_taken_while_the_file_grows_changes_nothing(cuts: list[int]) -> None:
    data = small_transcript().data
    reader = ClaudeCodeReader("session.jsonl", Detector)
    at = 0
    for cut in sorted(min(cut, len(data)) for cut in cuts):
        reader.feed(data[at:cut])
        reader.session()
        at = cut
    reader.feed(data[at:])
    reader.finish()
    assert reader.session() == read(data)
