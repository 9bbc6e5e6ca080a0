from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memscope.errors import SessionError
from memscope.session.load import load_session
from memscope.session.nodes import Session
from tests.session.formats.examples import example, read, turns

KEYS = ("staging-postgres-listens-on-7432", "mira-prefers-short-answers")
QUESTION = ("user", ("Content", "Which port does staging use?"), ("Opaque", "inlineData"))
CALL = ("assistant", ("Opaque", "thought summary"), ("run_shell_command", {"command": "ss -l"}))
RESULT = ("tool", ("ToolResult", "LISTEN 0.0.0.0:7432"))
ANSWER = ("assistant", ("Content", "Port 7432."))
HEAD = {"sessionId": "s", "projectHash": "p"}


def lines(*records: Any) -> Session:
    return read("\n".join(json.dumps(record) for record in (HEAD, *records)).encode())


def user(id_: str, content: Any) -> dict[str, Any]:
    return {"id": id_, "type": "user", "content": content}


def gemini(id_: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "type": "gemini", "content": content, "model": "gemini-3-pro", **fields}


def calls(session: Session) -> list[tuple[list[Any], Any]]:
    """Return each call as what its prompt says, and what its response says."""
    said = turns(session)
    return [([said[at] for at in call.prompt], said[call.response or 0]) for call in session.calls]


def test_a_message_counts_once_as_it_was_written_last() -> None:
    session = read(example("gemini-cli.jsonl"))
    prompt, response = calls(session)[0]
    assert (prompt[1:], response) == ([QUESTION], CALL)
    assert calls(session)[1] == ([*prompt, CALL, RESULT], ANSWER)
    assert session.memory_keys() == KEYS


def test_what_was_taken_back_is_a_thread_of_its_own() -> None:
    session = read(example("gemini-cli.jsonl"))
    (before, taken_back), (after, kept) = calls(session)[2:4]
    assert before[-1] == ("user", ("Content", "And production?"))
    assert taken_back == ("assistant", ("Thinking", "I am thinking about it."), ("Content", "Port 5432."))
    assert after == [*before[:-1], ("user", ("Content", "Thanks. "), ("Content", "Who am I?"))]
    assert kept == ("assistant", ("Content", "You are Mira."))


def test_a_summary_replaces_the_history_that_later_prompts_have() -> None:
    session = read(example("gemini-cli.jsonl"))
    prompt, response = calls(session)[-1]
    assert [turn[0] for turn in prompt] == ["user", "user", "assistant", "user"]
    assert "state_snapshot" in prompt[1][1][1]
    assert response == ("assistant", ("Content", "7432."))


def test_what_the_program_wrote_in_the_models_name_is_no_response() -> None:
    session = read(example("gemini-cli.jsonl"))
    assert ("assistant", ("Content", "Got it.")) not in [response for _, response in calls(session)]


def test_models_title_and_what_is_lacking_are_told() -> None:
    session = read(example("gemini-cli.jsonl"))
    assert [call.model for call in session.calls] == ["gemini-3-pro", "gemini-3-pro", "gemini-3-flash"] + [
        "gemini-3-pro"
    ] * 2
    assert session.header.title == "Ask for the staging port"
    assert session.source.context == "reconstructed"
    assert session.source.notes == (
        "the system prompt is not in the file",
        "--project DIR reads GEMINI.md from disk",
        "the definitions of the tools are not in the file",
        "1 inlineData part skipped",
        "1 thought summary part skipped",
        "1 info message skipped",
        "1 unknown row skipped",
    )


def test_with_the_project_its_files_are_read_from_disk(tmp_path: Path) -> None:
    own, project = tmp_path / ".gemini", tmp_path / "ports"
    (chats := own / "tmp" / "5f0c9b" / "chats").mkdir(parents=True)
    project.mkdir()
    (own / "GEMINI.md").write_text("Be kind.\n\n## Gemini Added Memories\n- Mira likes tea\n")
    (project / "GEMINI.md").write_text("Write tests first.\n")
    (chats / "session.jsonl").write_bytes(example("gemini-cli.jsonl"))
    session = load_session(chats / "session.jsonl", project=project)
    assert session.memory_keys()[:2] == ("mira-likes-tea", "GEMINI.md")
    assert {call.prompt[0] for call in session.calls} == {0}
    assert session.source.context == "from disk"
    assert f"{own}/GEMINI.md, {project}/GEMINI.md read from disk, may have changed" in session.source.notes


def test_a_project_without_such_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "session.jsonl").write_bytes(example("gemini-cli.jsonl"))
    session = load_session(tmp_path / "session.jsonl", project=tmp_path)
    assert f"no GEMINI.md in {tmp_path}" in session.source.notes
    assert session.source.context == "reconstructed"


def test_a_line_that_a_killed_process_left_is_skipped_and_counted() -> None:
    data = example("gemini-cli.jsonl").replace(b'{"future": 1}\n', b'{"id": "x", "ty\n')
    session = read(data)
    assert "1 unreadable line skipped" in session.source.notes
    assert len(session.calls) == 5


def test_a_rewind_to_an_unknown_message_takes_back_everything() -> None:
    session = lines(user("1", "a"), gemini("2", "b"), {"$rewindTo": "9"}, user("3", "c"), gemini("4", "d"))
    assert [prompt for prompt, _ in calls(session)] == [[("user", ("Content", "a"))], [("user", ("Content", "c"))]]


def test_results_that_are_messages_of_their_own_are_not_read_twice() -> None:
    result = {"functionResponse": {"id": "c1", "name": "sh", "response": {"exit": 0}}}
    call = {"id": "c1", "name": "sh", "args": {}, "result": [result]}
    session = lines(gemini("1", "a", toolCalls=[call]), user("2", [result, {"text": "b"}]), gemini("3", "c"))
    assert calls(session)[1][0] == [
        ("assistant", ("Content", "a"), ("sh", {})),
        ("tool", ("ToolResult", '{"exit":0}')),
        ("user", ("Content", "b")),
    ]


def test_an_older_session_of_one_document_reads_the_same() -> None:
    session = read(example("gemini-document.session.json"))
    assert calls(session) == calls(read(example("gemini-cli.jsonl")))[:2]


def test_the_log_of_inputs_says_where_the_answers_are() -> None:
    session = read(example("gemini-document.logs.json"))
    assert turns(session) == [("user", ("Content", "Which port does staging use?"))]
    assert session.source.notes == (
        "logs.json holds only what the user typed: the answers are in chats/session-*.json*",
    )


@pytest.mark.parametrize("name", ["gemini-contents.checkpoint.json", "gemini-contents.list.json"])
def test_a_checkpoint_is_a_list_of_contents(name: str) -> None:
    session = read(example(name))
    assert session.memory_keys() == KEYS
    assert turns(session)[2:] == [
        ("user", ("Content", "Which port does staging use?")),
        ("assistant", ("Thinking", "Let me look."), ("run_shell_command", {"command": "ss -l"})),
        RESULT,
        ("assistant", ("Content", "Port 7432."), ("Opaque", "executableCode")),
    ]
    assert session.source.context == "reconstructed"


def test_a_request_has_its_instruction_tools_and_answer() -> None:
    session = read(example("gemini-contents.request.json"))
    assert [turn[0] for turn in turns(session)] == ["system", "user", "assistant"]
    assert session.memory_keys() == KEYS[:1]
    assert [tool["function"]["name"] for tool in session.tools] == ["run_shell_command"]
    assert (session.header.model, session.source.context) == ("gemini-3-pro-001", "whole context")


WRONG: list[tuple[Any, str]] = [
    (3, "expected a JSON object, got 3"),
    ({"$set": {"messages": 3}}, "field 'messages': expected a list of messages, got 3"),
    (gemini("1", "a", toolCalls=3), "field 'toolCalls': expected a list of calls, got 3"),
    (gemini("1", "a", toolCalls=[{}]), "field 'toolCalls[0].name': expected a non-empty string, got nothing"),
    (user("1", [3]), "field 'content[0]': expected a string or a part, got 3"),
    (
        gemini("1", [{"functionCall": {}}]),
        "field 'content[0].functionCall.name': expected a non-empty string, got nothing",
    ),
]


@pytest.mark.parametrize(("record", "words"), WRONG)
def test_an_invalid_record_is_reported_with_its_line_and_field(record: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        lines(record)
    assert str(caught.value) == f"file:2: {words}"
