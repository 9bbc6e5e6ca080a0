from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from memscope.errors import SessionError
from memscope.session.advice import advice
from memscope.session.detectors import Detector
from memscope.session.formats.lines import LINE_LIMIT
from memscope.session.formats.recording import RecordingReader, read_recording
from memscope.session.formats.recording_writer import write_recording
from memscope.session.formats.registry import format_of
from memscope.session.nodes import Branch, Content, Header, Memory, Opaque, Session, Thinking, ToolCall, ToolResult
from memscope.session.text import responses
from tests.session.recordings import RECORDING, rows, written
from tests.session.strategies import QUICK


def read(data: bytes | str) -> Session:
    return read_recording(data.encode() if isinstance(data, str) else data, "run.jsonl", Detector)


def lines(*given_rows: dict[str, Any]) -> bytes:
    return written([{"type": "recording", "version": 1, "id": "r"}, *given_rows])


def message(name: str, text: str = "hello", role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"type": "message", "id": name, "role": role, "content": [{"type": "text", "text": text}], **fields}


def call(name: str, prompt: list[str], response: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": "call", "id": name, "prompt": prompt, "response": response, **fields}


def test_a_recording_is_messages_and_the_calls_that_name_them() -> None:
    session = read(RECORDING)
    assert session.header == Header(
        id="2026-11-24-a", title="support agent", model="qwen3-27b", extra={"client": "python agent.py"}
    )
    children = [node.children for node in session.nodes if isinstance(node, Branch)]
    assert children[0][1] == Memory(section="system", key="user/name", text="The user is called Mira.")
    assert children[2] == (Thinking(text="hm"), ToolCall(name="sh", arguments={"cmd": "ls"}, extra={"id": "1"}))
    assert children[3] == (ToolResult(text="a.py", extra={"id": "1"}), Opaque(kind="image", size=12))
    first, second = session.calls
    assert (first.prompt, first.response, first.status, first.api) == ((0, 1), 2, "complete", "openai-chat")
    assert first.extra == {"usage": {"input": 812, "output": 9}}
    assert (second.prompt, second.response, second.status) == ((0, 1, 2, 3), 4, "cut")
    assert session.source.notes == ("1 image part skipped",)
    assert session.source.context == "whole context"


def test_tools_are_in_the_form_that_chat_templates_expect() -> None:
    first, second = read(RECORDING).calls
    assert first.tools == ({"type": "function", "function": {"name": "sh", "description": "…", "parameters": {}}},)
    assert second.tools == ()


@QUICK
@given(rows())
def test_reading_writing_and_reading_again_changes_nothing(recording: list[dict[str, Any]]) -> None:
    session = read(written(recording))
    again = read(write_recording(session))
    assert (again.header, again.nodes, again.calls) == (session.header, session.nodes, session.calls)


@QUICK
@given(rows())
def test_a_recording_read_in_pieces_is_the_same(recording: list[dict[str, Any]]) -> None:
    data = written(recording)
    reader = RecordingReader("run.jsonl", Detector)
    for start in range(0, len(data), 7):
        reader.feed(data[start : start + 7])
    assert reader.session() == read(data)


def test_a_recording_is_recognised_by_its_header() -> None:
    assert format_of(RECORDING.encode(), "run.jsonl").name == "recording"
    assert format_of(b'{"type":"recording","version":1', "run.jsonl").name == "recording"


def test_the_same_message_again_is_one_node_whatever_its_id() -> None:
    session = read(lines(message("m1"), message("m1"), message("m9"), call("c1", ["m1", "m9"])))
    assert len(session.nodes) == 1
    assert session.calls[0].prompt == (0, 0)


def test_a_message_that_answers_two_calls_is_a_response_of_each() -> None:
    answer = message("m2", "Yes.", "assistant")
    session = read(
        lines(
            message("m1"),
            answer,
            call("c1", ["m1"], "m2"),
            call("c2", ["m1", "m2", "m1"], "m2x") | {"response": None, "status": "failed"},
            call("c3", ["m1"], "m2"),
        )
    )
    assert [found.text for found in responses(session)] == ["Yes.", "Yes."]
    assert session.calls[2].response == 2
    assert session.nodes[1] is session.nodes[2]


def test_a_call_that_was_wrong_may_come_again_when_its_messages_are_there() -> None:
    reader = RecordingReader("run.jsonl", Detector)
    reader.feed(lines())
    row = written([call("c1", ["m1"])])
    with pytest.raises(SessionError, match="expected the id of a message on an earlier line"):
        reader.feed(row)
    reader.feed(written([message("m1")]) + row + row)
    assert len(reader.session().calls) == 1


def test_an_answer_in_the_words_of_an_earlier_one_has_an_id_of_its_own() -> None:
    answer = message("m2", "Yes.", "assistant")
    again = answer | {"id": "m3"}
    session = read(lines(message("m1"), answer, call("c1", ["m1"], "m2"), again, call("c2", ["m1", "m2", "m1"], "m3")))
    assert [found.text for found in responses(session)] == ["Yes.", "Yes."]
    assert read(write_recording(session)).calls == session.calls


def test_rules_look_at_messages_in_which_nothing_is_marked() -> None:
    tagged = '<memory key="a">one</memory>'
    mark = {"type": "text", "text": "two", "memory": {"key": "b"}}
    assert read(lines(message("m1", tagged))).memory_keys() == ("a",)
    both = {"content": [{"type": "text", "text": tagged}, mark]}
    assert read(lines(message("m1") | both)).memory_keys() == ("b",)


def test_ids_of_a_raw_completion_are_kept() -> None:
    prompt = {"role": "prompt", "content": [{"type": "tokens", "ids": [1, 2]}]}
    answer = {"role": "completion", "content": [{"type": "tokens", "ids": [3], "text": " a"}]}
    api = "openai-completions"
    session = read(lines(message("m1") | prompt, message("m2") | answer, call("c1", ["m1"], "m2", api=api)))
    assert [leaf for node in session.nodes if isinstance(node, Branch) for leaf in node.children] == [
        Content(text="", token_ids=(1, 2)),
        Content(text=" a", token_ids=(3,)),
    ]


def test_rows_of_a_later_version_are_skipped_and_counted() -> None:
    session = read(lines({"type": "weather"}, message("m1"), {"type": "weather"}))
    assert session.source.notes == ("2 weather rows skipped",)
    assert len(session.nodes) == 1


def test_calls_without_their_whole_context_are_told() -> None:
    session = read(lines(message("m1"), call("c1", ["m1"], incomplete=True), call("c2", ["m1"], choices=2)))
    assert session.source.context == "reconstructed"
    assert len(session.source.notes) == 3


def test_calls_that_failed_are_counted() -> None:
    session = read(lines(message("m1"), call("c1", ["m1"]), call("c2", ["m1"], http_status=503)))
    assert session.source.notes == ("2 failed calls skipped",)


def test_advice_for_calls_that_failed_says_with_which_status() -> None:
    failed = [call(f"c{number}", ["m"], http_status=429) for number in range(3)]
    refused = [call("c3", ["m"], http_status=401), call("c4", ["m"])]
    header = {"type": "recording", "version": 1, "id": "r", "title": "my agent"}
    session = read(written([header, message("m"), *failed, *refused]))
    assert advice(session)[-1] == (
        "5 of 5 calls of 'my agent' failed: 3 with HTTP status 429, 1 with HTTP status 401, 1 without a response"
    )


def test_advice_for_calls_that_returned_no_text_counts_them() -> None:
    session = read(lines(message("m"), message("a", "", role="assistant"), call("c", ["m"], "a")))
    assert advice(session)[-1].startswith("a response is what a call returned; 1 call of ")


def test_a_recording_without_a_title_is_named_after_its_client() -> None:
    client = {"type": "recording", "version": 1, "id": "r", "client": "python agent.py"}
    assert read(written([client])).header.title == "python agent.py"
    assert read(written([client | {"title": "an agent"}])).header.title == "an agent"


def test_several_models_are_no_model() -> None:
    calls = [call("c1", ["m1"], model="a"), call("c2", ["m1"], model="b")]
    assert read(lines(message("m1"), *calls)).header.model == ""


def test_of_thousands_of_unknown_kinds_of_rows_the_first_are_named_and_all_are_counted() -> None:
    notes = read(lines(*({"type": f"x{number % 2000}"} for number in range(3000)))).source.notes
    assert (notes[0], len(notes), notes[-1]) == ("2 x0 rows skipped", 31, "2940 items of 1970 more kinds skipped")


def test_a_line_that_a_killed_writer_left_is_skipped_and_told() -> None:
    data = RECORDING.encode()
    cut = data[: data.index(b'"role":"assistant"')]
    assert len(read(cut).nodes) == 2
    continued = cut + b"\n" + data[len(read_header(data)) :]
    session = read(continued)
    assert len(session.calls) == 2
    assert session.source.notes[0].startswith("a line skipped: run.jsonl:5: ")


def test_an_id_that_may_be_on_a_skipped_line_is_reported_with_the_reason_of_the_skip() -> None:
    torn = RECORDING.encode().replace(b'"role":"user"', b'"role":"us\xff"', 1)
    with pytest.raises(SessionError) as caught:
        read(torn)
    assert "the id of a message on an earlier line, got" in str(caught.value)
    assert "; it may be on a line that was skipped: run.jsonl:3: not UTF-8 at byte" in str(caught.value)


@pytest.mark.parametrize("title", [rb'"\ud800"', b'"' + b"x" * LINE_LIMIT + b'"', b"NaN"])
def test_a_header_that_is_invalid_is_reported_itself(title: bytes) -> None:
    data = RECORDING.encode().replace(b'"support agent"', title, 1)
    with pytest.raises(SessionError, match=r"^run.jsonl:1: (not|the line is longer)"):
        read(data)


def test_of_many_lines_that_are_not_json_the_first_are_told_and_all_are_counted() -> None:
    notes = read(lines(message("m1")) + b"{oops\n" * 500).source.notes
    assert [note.split(": ")[1] for note in notes[:3]] == ["run.jsonl:3", "run.jsonl:4", "run.jsonl:5"]
    assert notes[3:] == ("497 more invalid lines skipped",)


def read_header(data: bytes) -> bytes:
    return data.split(b"\n", 1)[0] + b"\n"


CYCLE = "a message that is not in the call's own prompt (a repeated text needs a new id)"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown message": (
        call("c1", ["m1", "m9"]),
        "field 'prompt[1]': expected the id of a message on an earlier line, got 'm9'",
    ),
    "unknown response": (
        call("c1", ["m1"], "m9"),
        "field 'response': expected the id of a message on an earlier line, got 'm9'",
    ),
    "unknown tools": (
        call("c1", ["m1"], tools="t9"),
        "field 'tools': expected the id of tools on an earlier line, got 't9'",
    ),
    "no prompt": ({"type": "call", "id": "c1"}, "field 'prompt': expected a list of message ids, got nothing"),
    "no id": ({"type": "call", "prompt": []}, "field 'id': expected a non-empty string, got nothing"),
    "cycle": (
        call("c1", ["m1", "m2"], "m2"),
        f"field 'response': expected {CYCLE}, got 'm2'",
    ),
    "not an answer": (
        call("c1", [], "m1"),
        "field 'response': expected a message of role assistant or completion, got 'user'",
    ),
    "other content": (
        message("m1", "other"),
        "field 'id': expected an id of its own: an earlier line has it with another content, got 'm1'",
    ),
    "status": (
        call("c1", ["m1"], status="maybe"),
        "field 'status': expected one of complete, cut, failed, got 'maybe'",
    ),
    "failed with response": (
        call("c1", ["m1"], "m2", status="failed"),
        "field 'response': expected no response of a call that failed, got 'm2'",
    ),
    "complete without response": (
        call("c1", ["m1"], status="complete"),
        "field 'response': expected the id of a message, since the call did not fail, got nothing",
    ),
    "time": (
        call("c1", ["m1"], timestamp="noon"),
        "field 'timestamp': expected an RFC 3339 time such as 2026-11-20T10:00:00Z, got 'noon'",
    ),
    "part": (
        {"type": "message", "id": "m9", "role": "user", "content": [{"type": "dream"}]},
        "field 'content[0].type': expected one of text, tool_result, thinking, tool_call, tokens, opaque, got 'dream'",
    ),
    "no content": (
        {"type": "message", "id": "m9", "role": "user"},
        "field 'content': expected a string or a list of parts, got nothing",
    ),
    "tools": ({"type": "tools", "id": "t1", "tools": [3]}, "field 'tools[0]': expected a JSON object, got 3"),
    "second header": (
        {"type": "recording", "version": 1, "id": "r"},
        "field 'type': expected a row: a recording has one header, on its first line, got 'recording'",
    ),
    "not an object": ([1], "expected a JSON object, got [1]"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_row_is_reported_with_file_line_and_field(name: str) -> None:
    row, words = WRONG[name]
    with pytest.raises(SessionError) as caught:
        read(lines(message("m1"), message("m2", role="assistant"), row))
    assert str(caught.value) == f"run.jsonl:4: {words}"


def test_a_response_holds_no_tool_results() -> None:
    searched = {"type": "tool_result", "id": "1", "text": "found"}
    answer = {"type": "message", "id": "m2", "role": "assistant", "content": [searched]}
    with pytest.raises(SessionError, match="'response': expected a message without tool results"):
        read(lines(message("m1"), answer, call("c1", ["m1"], "m2")))


WRONG_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "no version": ({"type": "recording", "id": "r"}, "field 'version': expected version 1, got nothing"),
    "later version": (
        {"type": "recording", "version": 2, "id": "r"},
        "field 'version': expected version 1, which this memscope supports, got 2",
    ),
    "no id": ({"type": "recording", "version": 1}, "field 'id': expected a non-empty string, got nothing"),
    "none": (message("m1"), "field 'type': expected a header of type recording on the first line, got 'message'"),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_a_wrong_header_is_reported(name: str) -> None:
    row, words = WRONG_HEADERS[name]
    with pytest.raises(SessionError) as caught:
        read(msgspec.json.encode(row) + b"\n")
    assert str(caught.value) == f"run.jsonl:1: {words}"


def test_a_line_longer_than_the_limit_is_skipped_and_told() -> None:
    session = read(lines(message("m1", "a" * LINE_LIMIT), message("m2")))
    assert len(session.nodes) == 1
    assert session.source.notes == (
        "a line skipped: run.jsonl:2: the line is longer than 32 MiB; a session file has one node per line",
    )


def test_a_session_with_nodes_outside_of_turns_is_not_written(small_session: Session) -> None:
    with pytest.raises(SessionError, match="a recording holds turns alone"):
        write_recording(small_session)
