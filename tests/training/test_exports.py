"""Records for training libraries: exact ids, OpenAI's messages, provenance; files whole or not at all."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from memscope.demo import model_folder
from memscope.errors import TrainingError, UsageError
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.formats.native import read_native
from memscope.session.load import load_session
from memscope.session.nodes import Session
from memscope.training.exports import (
    IGNORED_LABEL,
    Origin,
    RecordBuilder,
    check_destination,
    json_lines,
    write_atomically,
)
from tests.call_sessions import Exchange, call_session, message

SESSION = b"""\
{"type":"session","version":1,"id":"ops","title":"t"}
{"type":"branch","section":"system","role":"system","children":[{"type":"content","text":"You help."}]}
{"type":"memory","section":"identity","key":"db/port","text":"The port is 7432."}
{"type":"branch","role":"user","children":[{"type":"memory","key":"mood","text":"Mira is in a hurry."},\
{"type":"content","text":" Which port?"}]}
{"type":"branch","role":"assistant","timestamp":"2026-11-20T10:00:00Z","children":[\
{"type":"thinking","text":"look it up"},{"type":"content","text":"I look."},\
{"type":"tool_call","name":"sh","arguments":{"cmd":"ls \xc3\xa9"}},{"type":"tool_call","name":"sh","arguments":null}]}
{"type":"tool_result","text":"first"}
{"type":"tool_result","text":"second"}
{"type":"log","text":"never sent"}
{"type":"memory","key":"db/port","text":"The port is 9000 now."}
{"type":"branch","role":"assistant","timestamp":"2026-11-20T10:01:00Z","children":[{"type":"content","text":"9000."}]}
{"type":"branch","role":"user","children":[{"type":"content","text":"Thanks"}]}
{"type":"branch","role":"assistant","children":[{"type":"content","text":"Welcome."}]}
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(model_folder())


@pytest.fixture
def session() -> Session:
    return read_native(SESSION, "ops.jsonl")


@pytest.fixture
def prompt(session: Session, tokenizer: Tokenizer) -> Prompt:
    return render(session, tokenizer)


def records_of(session: Session, prompt: Prompt, tokenizer: Tokenizer, **options: Any) -> RecordBuilder:
    return RecordBuilder(
        session=session,
        prompt=prompt,
        origin=Origin.of("tiny", "w1", tokenizer, prompt, "ops"),
        identities={0: "id0", 1: "id1", 2: "id2"},
        divergences={0: 2.5, 1: -0.5},
        **options,
    )


@pytest.fixture
def without(session: Session, prompt: Prompt, tokenizer: Tokenizer) -> RecordBuilder:
    return records_of(session, prompt, tokenizer)


@pytest.fixture
def with_memories(session: Session, prompt: Prompt, tokenizer: Tokenizer) -> RecordBuilder:
    return records_of(session, prompt, tokenizer, context="with")


def test_every_record_says_where_it_comes_from(
    without: RecordBuilder, with_memories: RecordBuilder, tokenizer: Tokenizer
) -> None:
    for target in ("trl", "messages", "sdft", "dpo"):
        (record,) = without.of(target, [0], {0: "I don't know."})
        assert record["provenance"] == {
            "model": "tiny",
            "weights": "w1",
            "tokenizer": tokenizer.fingerprint,
            "template": "chatml",
            "session": "ops",
            "response": "id0",
            "index": 0,
            "context": "without",
            "removed_memories": ["db/port", "mood"],
            "divergence": 2.5,
        }
    (record,) = with_memories.of("trl", [2])
    assert record["provenance"]["removed_memories"] == []
    assert record["provenance"]["context"] == "with"
    assert record["provenance"]["divergence"] is None


def test_trl_holds_the_scored_ids_and_masks_the_rest(
    without: RecordBuilder, prompt: Prompt, tokenizer: Tokenizer
) -> None:
    for record, index in zip(without.of("trl", [0, 1, 2]), (0, 1, 2), strict=True):
        (variant,) = prompt.variants({"db/port", "mood"}, responses=[index])
        assert record["input_ids"] == list(variant.ids)
        ((start, end),) = variant.ranges
        assert record["labels"] == [IGNORED_LABEL] * start + list(variant.ids[start:end])
        assert record["attention_mask"] == [1] * len(variant.ids)
        assert "7432" not in tokenizer.decode(record["input_ids"])


def test_trl_with_memories_is_the_whole_context(with_memories: RecordBuilder, prompt: Prompt) -> None:
    (record,) = with_memories.of("trl", [1])
    (variant,) = prompt.variants((), responses=[1])
    assert record["input_ids"] == list(variant.ids)


def test_messages_are_openai_shaped(without: RecordBuilder) -> None:
    (record,) = without.of("messages", [1])
    assert record["messages"] == [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": " Which port?"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "look it up",
            "tool_calls": [
                {"id": "call00001", "type": "function", "function": {"name": "sh", "arguments": '{"cmd": "ls é"}'}},
                {"id": "call00002", "type": "function", "function": {"name": "sh", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "first", "tool_call_id": "call00001"},
        {"role": "tool", "content": "second", "tool_call_id": "call00002"},
        {"role": "assistant", "content": "9000."},
    ]
    assert "tools" not in record


def test_memories_in_the_context_are_system_messages_or_part_of_their_turn(with_memories: RecordBuilder) -> None:
    (record,) = with_memories.of("messages", [1])
    contents = [(message["role"], message["content"]) for message in record["messages"]]
    assert contents[1:3] == [
        ("system", "The port is 7432."),
        ("user", "Mira is in a hurry. Which port?"),
    ]
    assert contents[-2:] == [("system", "The port is 9000 now."), ("assistant", "9000.")]


def test_a_turn_of_memories_alone_goes_with_them(tokenizer: Tokenizer) -> None:
    lines = SESSION.replace(b',{"type":"content","text":" Which port?"}', b"")
    session = read_native(lines, "ops.jsonl")
    records = records_of(session, render(session, tokenizer), tokenizer)
    (record,) = records.of("messages", [0])
    assert [message["role"] for message in record["messages"]] == ["system", "assistant"]


def test_a_memory_inside_a_response_is_never_learned(tokenizer: Tokenizer) -> None:
    lines = SESSION.replace(
        b'{"type":"content","text":"9000."}',
        b'{"type":"memory","key":"in","text":"inner"}, {"type":"content","text":"9000."}',
    )
    session = read_native(lines, "ops.jsonl")
    records = records_of(session, render(session, tokenizer), tokenizer, context="with")
    (record,) = records.of("messages", [1])
    assert record["messages"][-1] == {"role": "assistant", "content": "9000."}
    (exact,) = records.of("trl", [1])
    learned = [label for label in exact["labels"] if label != IGNORED_LABEL]
    assert "inner" not in tokenizer.decode(learned)


def test_tool_definitions_go_along(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tools = [{"type": "function", "function": {"name": "sh", "parameters": {}}}]
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": messages, "tools": tools}))
    session = load_session(path)
    records = records_of(session, render(session, tokenizer), tokenizer)
    (record,) = records.of("messages", [0])
    assert record["tools"] == tools
    assert record["messages"] == messages


def test_sdft_takes_the_memories_apart(without: RecordBuilder) -> None:
    (record,) = without.of("sdft", [0])
    assert record["privileged_context"] == "The port is 7432.\n\nMira is in a hurry."
    assert record["prompt"] == [
        {"role": "system", "content": "You help."},
        {"role": "user", "content": " Which port?"},
    ]
    assert record["completion"][0]["content"] == "I look."
    (late,) = without.of("sdft", [2])
    assert late["privileged_context"].splitlines()[2] == "The port is 9000 now.", "what a memory said later counts too"


def test_sdft_leaves_out_what_its_trainer_refuses(without: RecordBuilder) -> None:
    assert list(without.of("sdft", [1])) == []
    assert without.left_out == {"it does not follow a user turn, as TRL's trainer requires": 1}


def test_dpo_prefers_the_response_to_its_alternate(without: RecordBuilder) -> None:
    (record,) = without.of("dpo", [1, 2], {1: "I don't know.", 2: "Welcome. "})
    assert record["chosen"] == [{"role": "assistant", "content": "9000."}]
    assert record["rejected"] == [{"role": "assistant", "content": "I don't know."}]
    assert record["prompt"][-1]["role"] == "tool"
    assert list(without.of("dpo", [0])) == []
    assert without.left_out == {"its alternate is identical": 1, "it has no alternate": 1}


def test_an_alternate_begins_as_the_request_began_the_response(tokenizer: Tokenizer) -> None:
    begun = [message("user", "Who?"), message("assistant", "You are")]
    session = call_session([Exchange(begun, message("assistant", " Mira."), {"api": "anthropic-messages"})])
    (record,) = records_of(session, render(session, tokenizer), tokenizer).of("dpo", [0], {0: " Hugo."})
    assert [record[name][0]["content"] for name in ("chosen", "rejected")] == ["You are Mira.", "You are Hugo."]


def test_a_raw_completion_is_no_conversation(tokenizer: Tokenizer) -> None:
    raw = Exchange([message("prompt", "Once")], message("completion", " upon a time"), {"api": "openai-completions"})
    session = call_session([raw])
    records = records_of(session, render(session, tokenizer), tokenizer)
    assert [list(records.of(target, [0], {0: " more"})) for target in ("messages", "sdft", "dpo")] == [[], [], []]
    assert records.left_out == {"it continues raw text, which only --to trl can hold": 3}
    (record,) = records.of("trl", [0])
    assert tokenizer.decode(record["input_ids"]) == "Once upon a time"


def test_a_response_that_does_not_exist_is_named(without: RecordBuilder) -> None:
    with pytest.raises(TrainingError, match="no response 7: the session has 3"):
        list(without.of("trl", [7]))


def test_redactions_are_named_and_counted(session: Session, prompt: Prompt, tokenizer: Tokenizer) -> None:
    records = records_of(session, prompt, tokenizer, redactions={"jwt": 2, "aws-key": 1})
    (record,) = records.of("trl", [0])
    assert record["provenance"]["redacted"] == [{"rule": "aws-key", "count": 1}, {"rule": "jwt", "count": 2}]


def test_lines_are_json_one_a_record(without: RecordBuilder) -> None:
    made = list(without.of("messages", [0, 2]))
    text = json_lines(made)
    assert text.endswith("\n")
    assert [json.loads(line) for line in text.splitlines()] == made


def test_a_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write_atomically(path, "é\n", force=False)
    assert path.read_bytes() == "é\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_only_replaced_when_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(UsageError, match=r"out\.jsonl: the file exists.*--force"):
        write_atomically(path, "new", force=False)
    assert path.read_text() == "old"
    write_atomically(path, "new", force=True)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half \ud800", force=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_impossible_destination_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        check_destination(tmp_path / "missing" / "out", force=True)
    with pytest.raises(UsageError, match="not a regular file"):
        check_destination(tmp_path, force=True)
