from __future__ import annotations

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from memscope.errors import SessionError, UsageError
from memscope.session.advice import advice
from memscope.session.load import load_session, problems
from memscope.session.nodes import Session
from tests.session.formats.examples import example, read, turns

KEYS = ("mira-likes-tea", "staging-listens-on-7432")
QUESTION = ("user", ("Content", "Which port?"))
CALL = ("assistant", ("Content", "Let me look."), ("sh", {"cmd": "ss -l"}))
RESULT = ("tool", ("ToolResult", f"LISTEN 7432 {'x' * 30}"))
ANSWER = ("assistant", ("Content", "Port 7432."))
LOGS = ["inspect.json", "inspect-eval.deflated.eval", "inspect-eval.split.eval"]
ZSTANDARD = "inspect-eval.zstandard.eval"


def sample(name: str = "inspect.json") -> dict[str, Any]:
    """Return the sample `port` of an example."""
    log = json.loads(example(name))
    found: dict[str, Any] = next(one for one in log["samples"] if one["id"] == "port")
    return found


def read_samples(*samples: dict[str, Any], pick: str | None = None) -> Session:
    log = json.loads(example("inspect.json")) | {"samples": samples}
    return read(json.dumps(log).encode(), pick=pick)


def model_events(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in value["events"] if event["event"] == "model"]


def changed(path: str, new: Any, value: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the sample with one field of its first model event, or of itself, changed."""
    value = copy.deepcopy(value or sample())
    holder: Any = model_events(value)[0] if path.startswith("event.") else value
    *way, last = path.removeprefix("event.").split(".")
    for step in way:
        holder = holder[int(step) if step.isdigit() else step]
    holder[last] = new
    return value


def zipped(**members: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(name, value if isinstance(value, str) else json.dumps(value))
    return file.getvalue()


@pytest.mark.parametrize("name", LOGS)
def test_every_model_event_is_a_call_with_its_own_prompt(name: str) -> None:
    session = read(example(name), pick="port")
    said = turns(session)
    assert [[said[at] for at in call.prompt[1:]] for call in session.calls] == [[QUESTION], [QUESTION, CALL, RESULT]]
    assert [said[call.response or 0] for call in session.calls] == [CALL, ANSWER]
    assert {call.prompt[0] for call in session.calls} == {0}
    assert session.memory_keys() == KEYS
    assert session.source.context == "whole context"
    assert session.header.title == "task port"


def test_calls_have_model_time_and_tools() -> None:
    call = read_samples(sample()).calls[0]
    assert call.model == "mockllm/model"
    assert call.timestamp == model_events(sample())[0]["timestamp"]
    assert [tool["function"]["name"] for tool in call.tools] == ["sh"]


@pytest.mark.parametrize("name", LOGS)
def test_the_first_sample_with_memories_is_read_and_the_others_are_named(name: str) -> None:
    session = read(example(name))
    assert session.memory_keys() == KEYS
    assert "choose another of the 2 with --pick: " in session.source.notes[0]
    assert read(example(name), pick="2").header.id != read(example(name), pick="port").header.id


def test_a_sample_without_memories_is_passed_over() -> None:
    bare = changed("events_data.messages.0.content", "You help.")
    session = read_samples(bare | {"id": "bare"}, sample())
    assert session.source.notes[0] == "this is sample port; choose another of the 2 with --pick: bare, port"
    assert read_samples(bare).memory_keys() == ()


def test_epochs_of_a_sample_are_told_apart() -> None:
    epochs = [sample() | {"epoch": epoch} for epoch in (1, 2)]
    session = read_samples(*epochs, pick="port/2")
    assert session.source.notes[0] == "this is sample port/2; choose another of the 2 with --pick: port/1, port/2"


def test_of_many_samples_the_first_are_named() -> None:
    session = read_samples(*(sample() | {"id": f"s{number}"} for number in range(60)))
    assert session.source.notes[0].endswith("s48, s49 and 10 more")


def test_an_unknown_sample_is_refused() -> None:
    with pytest.raises(UsageError, match="file: no sample 'x'; the file has 2, port"):
        read(example("inspect.json"), pick="x")


def test_prompts_that_are_written_out_read_the_same_as_those_of_the_pool() -> None:
    written = sample()
    pool = written.pop("events_data")["messages"]
    for event in model_events(written):
        event["input"] = [message for start, end in event.pop("input_refs") for message in pool[start:end]]
    assert read_samples(written) == read_samples(sample())


def test_the_pool_of_older_logs_is_found() -> None:
    older = sample()
    older["message_pool"] = older.pop("events_data")["messages"]
    assert read_samples(older) == read_samples(sample())


def test_samples_of_an_archive_are_in_order() -> None:
    names = [f"samples/{name}_epoch_1.json" for name in ("10", "a", "2", "b10", "b9")]
    session = read(zipped(**{name: sample() for name in names}))
    assert session.source.notes[0].endswith("--pick: 2, 10, a, b9, b10")


def test_without_events_the_messages_are_one_conversation() -> None:
    session = read_samples(sample() | {"events": []})
    assert turns(session)[1:] == [QUESTION, CALL, RESULT, ANSWER]
    assert (session.calls, session.source.context) == ((), "reconstructed")


def test_an_attachment_that_is_not_in_the_file_is_counted() -> None:
    session = read_samples(changed("attachments", {}))
    assert turns(session)[0] == ("system", ("Opaque", "missing attachment"))
    assert session.source.context == "reconstructed"
    assert "1 missing attachment part skipped" in session.source.notes


def test_attachments_are_resolved_in_the_arguments_of_calls() -> None:
    arguments = {"cmd": "attachment://a", "more": ["attachment://a", 1]}
    call = {"id": "c", "function": "sh", "arguments": arguments}
    value = changed("event.output.choices.0.message.tool_calls", [call])
    value["attachments"]["a"] = "ls"
    session = read_samples(value)
    assert turns(session)[session.calls[0].response or 0][2] == ("sh", {"cmd": "ls", "more": ["ls", 1]})


def test_a_call_that_failed_has_no_response() -> None:
    session = read_samples(changed("event.error", "rate limit"))
    assert [(call.status, call.response is None) for call in session.calls] == [("failed", True), ("complete", False)]


def test_a_response_that_a_limit_ended_is_cut() -> None:
    session = read_samples(changed("event.output.choices.0.stop_reason", "max_tokens"))
    assert [call.status for call in session.calls] == ["cut", "complete"]


def test_a_call_that_is_pending_is_none_yet() -> None:
    assert len(read_samples(changed("event.pending", True)).calls) == 1


def test_calls_that_failed_are_counted_with_their_errors_and_how_to_pick_another_sample() -> None:
    failed = copy.deepcopy(sample()) | {"id": "down"}
    for event in model_events(failed):
        event |= {"error": "rate limit\nplease wait", "output": {"choices": [], "error": "rate limit"}}
    session = read_samples(failed, sample(), pick="down")
    assert problems(session) == ("no responses found: no call returned any text",)
    assert advice(session) == (
        "the file was read as inspect",
        "2 of 2 calls of 'task down' failed: 2 with 'rate limit please wait'",
        "this is sample down; choose another of the 2 with --pick: down, port",
    )


def test_reasoning_errors_and_other_parts_are_read() -> None:
    content = [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "reasoning", "reasoning": "sealed", "redacted": True},
        {"type": "text", "text": "a"},
        {"type": "image", "image": "data:image/png;base64,AA"},
    ]
    value = changed("event.output.choices.0.message.content", content)
    failed = {"role": "tool", "content": "", "tool_call_id": "c", "error": {"type": "timeout", "message": "too slow"}}
    value["events_data"]["messages"][3] = failed
    said = turns(read_samples(value))
    assert said[2][1:5] == (("Thinking", "hm"), ("Opaque", "reasoning"), ("Content", "a"), ("Opaque", "image"))
    assert ("tool", ("ToolResult", "too slow")) in said


WRONG: list[tuple[str, Any, str]] = [
    (
        "event.input_refs",
        [[0, 9]],
        "model event 0: field 'input_refs': expected ranges of the 4 pooled messages, got [[0,9]]",
    ),
    ("event.tools", 3, "model event 0: field 'tools': expected a list, got 3"),
    (
        "event.output.choices.0.message",
        3,
        "model event 0: output: expected a JSON object, got 3",
    ),
    ("events", 3, "field 'events': expected a list, got 3"),
    (
        "events_data.messages.1.content",
        3,
        "model event 0: pooled message 1: field 'content': expected a string or a list of parts, got 3",
    ),
]


@pytest.mark.parametrize(("path", "new", "words"), WRONG)
def test_an_invalid_field_is_reported_with_its_place(path: str, new: Any, words: str) -> None:
    with pytest.raises(SessionError) as caught:
        read_samples(changed(path, new))
    assert str(caught.value).replace("sample port: ", "") == f"file: {words}"
    assert str(caught.value).startswith("file: sample port: ")


def test_an_unfinished_archive_says_of_what_it_is_a_log() -> None:
    start = {"eval": {"eval_id": "e", "task": "ports"}}
    data = zipped(**{"_journal/start.json": start, "samples/port_epoch_1.json": sample()})
    assert read(data).header.title == "ports port"


def test_an_archive_of_something_else_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(readme="hello"))
    with pytest.raises(SessionError) as caught:
        load_session(tmp_path / "a.zip")
    assert str(caught.value) == (
        f"{tmp_path}/a.zip: a zip file without samples/*.json, expected an inspect_ai log with samples"
    )


@pytest.mark.parametrize("length", [30, 2000])
def test_an_archive_that_was_cut_off_is_reported(length: int) -> None:
    with pytest.raises(SessionError, match="file: not a complete zip file"):
        read(example(LOGS[1])[:length])


def test_a_damaged_member_is_reported() -> None:
    with pytest.raises(SessionError, match=r"file: samples/port_epoch_1\.json: cannot be unpacked"):
        read(example(LOGS[1]).replace(b"samples/port_epoch_1.json", b"samples/port_epoch_2.json", 1), pick="port")
    data = zipped(**{"samples/1_epoch_1.json": "[3"})
    with pytest.raises(SessionError, match=r"file: samples/1_epoch_1\.json:1: not JSON"):
        read(data)


def test_a_member_past_the_limit_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memscope.session.formats.inspect_ai.archive.MEMBER_LIMIT", 2**10)
    with pytest.raises(SessionError, match=r"json: too large, the limit is 0 MiB"):
        read(example(LOGS[1]))


def test_a_compression_that_this_python_lacks_is_reported_with_the_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "zstandard", None)
    if hasattr(zipfile, "ZIP_ZSTANDARD"):
        pytest.skip("this Python unpacks it by itself")
    with pytest.raises(SessionError) as caught:
        read(example(ZSTANDARD), "log.eval")
    assert str(caught.value) == (
        "log.eval: compressed with zstd, which this Python cannot unpack: pip install zstandard, or convert the log "
        "with: inspect log convert log.eval --to json --output-dir ."
    )


def test_recent_archives_are_unpacked_where_zstandard_is_installed() -> None:
    pytest.importorskip("zstandard")
    assert read(example(ZSTANDARD), pick="port").nodes == read(example(LOGS[1]), pick="port").nodes
