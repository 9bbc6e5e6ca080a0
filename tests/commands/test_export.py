"""`memscope export`: which responses, to where, and what never happens to files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from memscope.commands.export import export
from memscope.config import Config
from memscope.errors import TrainingError, UsageError
from memscope.session.formats.native import read_native
from memscope.session.identity import response_id
from memscope.session.text import responses
from memscope.store.database import Database
from memscope.store.decisions import Decision, Decisions
from tests.call_sessions import Exchange, call_session, message, text

Output = pytest.CaptureFixture[str]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def decide(path: Path, config: Config, decisions: dict[int, Decision]) -> None:
    session = read_native(path.read_bytes(), str(path))
    answers = list(responses(session))
    database = Database(config.state_folder())
    for index, decision in decisions.items():
        Decisions(database).decide([response_id(session.header.id, answers[index])], decision)
    database.close()


def test_the_candidates_go_to_stdout_when_nothing_is_approved(small_file: Path, config: Config, capsys: Output) -> None:
    assert export(str(small_file), config, "trl") == 0
    out, err = capsys.readouterr()
    made = records(out)
    assert {record["provenance"]["index"] for record in made} == {0, 1}
    assert all(record["provenance"]["divergence"] > 3 for record in made)
    assert all(record["provenance"]["weights"] for record in made)
    assert "exporting 2 candidates (none is approved)" in err
    assert "2 records for trl written to stdout" in err


def test_approved_responses_come_before_candidates(small_file: Path, config: Config, capsys: Output) -> None:
    decide(small_file, config, {1: "approved"})
    assert export(str(small_file), config, "messages") == 0
    (record,) = records(capsys.readouterr().out)
    assert record["provenance"]["index"] == 1
    assert record["messages"][-1]["content"] == "The retro meeting is on Thursday at 15:30."


def test_a_rejected_candidate_stays_out(small_file: Path, config: Config, capsys: Output) -> None:
    decide(small_file, config, {0: "rejected"})
    assert export(str(small_file), config, "messages") == 0
    (record,) = records(capsys.readouterr().out)
    assert record["provenance"]["index"] == 1


def test_named_responses_are_exported_whatever_they_are(small_file: Path, config: Config, capsys: Output) -> None:
    assert export(str(small_file), config, "messages", responses=[2], context="with") == 0
    (record,) = records(capsys.readouterr().out)
    assert record["messages"][-1]["content"] == "You're welcome."
    assert any("C217" in message["content"] for message in record["messages"])


def test_without_a_candidate_the_reason_is_said(small_file: Path, config: Config) -> None:
    decide(small_file, config, {0: "rejected", 1: "rejected"})
    with pytest.raises(TrainingError, match="all candidates are rejected"):
        export(str(small_file), config, "trl")


def test_dpo_generates_the_alternates(small_file: Path, config: Config, capsys: Output) -> None:
    assert export(str(small_file), config, "dpo") == 0
    for record in records(capsys.readouterr().out):
        (chosen,), (rejected,) = record["chosen"], record["rejected"]
        assert chosen["role"] == rejected["role"] == "assistant"
        assert rejected["content"] != chosen["content"]


def test_sdft_has_privileged_context(small_file: Path, config: Config, capsys: Output) -> None:
    assert export(str(small_file), config, "sdft", responses=[1]) == 0
    (record,) = records(capsys.readouterr().out)
    assert "The retro meeting is on Thursday at 15:30." in record["privileged_context"]
    assert record["prompt"][-1] == {"role": "user", "content": "When is the retro meeting?"}


def test_records_on_stdout_hold_nothing_that_a_terminal_obeys(small_file: Path, config: Config, capsys: Output) -> None:
    evil = "You're\u202e \x9bwelcome."
    small_file.write_text(small_file.read_text().replace("You're welcome.", evil), encoding="utf-8")
    assert export(str(small_file), config, "messages", responses=[2]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert json.loads(line)["messages"][-1]["content"] == evil


def test_the_matrix_is_csv_or_json_by_the_name(small_file: Path, config: Config, tmp_path: Path) -> None:
    table, report = tmp_path / "m.csv", tmp_path / "m.json"
    assert export(str(small_file), config, "matrix", destination=str(table)) == 0
    assert export(str(small_file), config, "matrix", destination=str(report)) == 0
    rows = list(csv.reader(io.StringIO(table.read_text())))
    divergence = json.loads(report.read_text())["divergence"]
    assert [[float(cell) for cell in row[6:]] for row in rows[1:]] == divergence
    assert export(str(small_file), config, "matrix", destination=str(table), output="json", force=True) == 0
    assert json.loads(table.read_text())["divergence"] == divergence


def test_an_existing_file_is_not_overwritten_and_nothing_is_started(small_file: Path, config: Config) -> None:
    with pytest.raises(UsageError, match="the file exists"):
        export(str(small_file), config, "trl", destination=str(small_file))
    assert not config.state_folder().exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "matrix", "responses": [1]}, "does not accept --responses"),
        ({"target": "matrix", "context": "with"}, "does not accept --responses or --context"),
        ({"target": "trl", "output": "csv"}, "always JSON Lines"),
        ({"target": "sdft", "context": "with"}, "privileged context"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    small_file: Path, config: Config, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        export(str(small_file), config, **options)


def test_redaction_reaches_ids_messages_and_keys_and_tells_counts_only(
    small_file: Path, config: Config, capsys: Output, tmp_path: Path
) -> None:
    path = tmp_path / "secret.jsonl"
    text = (
        small_file.read_text()
        .replace("listens on port 7432", "has password=hunter2")
        .replace("db/port", "password=key2")
    )
    path.write_text(text)
    for target in ("trl", "messages", "sdft", "dpo", "matrix"):
        assert export(str(path), config, target, redact=True) == 0
        out, err = capsys.readouterr()
        assert "hunter2" not in out + err
        assert "password=key2" not in out + err
        assert "redacted (best effort): assignment" in err


def test_redaction_reaches_the_keys_that_a_response_cites(
    config: Config, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = message("user", "Who? ", text("Mira.", "password=key2"))
    session = call_session([Exchange([asked], message("assistant", "Mira."), {"cited": ("password=key2",)})])
    monkeypatch.setattr("memscope.commands.export.load_scorable_session", lambda *_: session)
    assert export(None, config, "matrix", output="json", redact=True) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["responses"][0]["cited"] == [report["memories"][0]["key"]] == ["password=[redacted:assignment]"]


def test_redacted_ids_are_those_of_the_redacted_text(
    small_file: Path, config: Config, capsys: Output, tmp_path: Path
) -> None:
    path = tmp_path / "secret.jsonl"
    path.write_text(small_file.read_text().replace("listens on port 7432", "has password=hunter2"))
    other = tmp_path / "clean.jsonl"
    other.write_text(small_file.read_text().replace("listens on port 7432", "has password=[redacted:assignment]"))
    made = []
    for file, redact in ((path, True), (other, False)):
        export(str(file), config, "trl", responses=[0], redact=redact)
        made.append(records(capsys.readouterr().out)[0])
    assert made[0]["input_ids"] == made[1]["input_ids"]
    assert made[0]["provenance"]["divergence"] != made[1]["provenance"]["divergence"], "measured on the original"
