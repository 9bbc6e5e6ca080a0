from __future__ import annotations

import json
from pathlib import Path

import pytest

from memscope.cli import main
from memscope.session.load import load_session

CHAT = [
    {"role": "system", "content": "You are Bob.\nNotes:\n- Likes tea\n"},
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Tea?"}]},
    {"role": "assistant", "content": "Yes."},
]


@pytest.fixture
def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMSCOPE_STATE", str(tmp_path / "state"))
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(CHAT))
    return path


def test_a_converted_session_is_native_and_another_session(
    chat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "native.jsonl"
    assert main(["convert", str(chat), "-o", str(output)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "memscope: 1 content block of type image skipped: only text is scored",
        f"memscope: 1 memory and 1 response written to {output}",
    ]
    before, after = load_session(chat), load_session(output)
    assert after.source.format == "native"
    assert after.memory_keys() == before.memory_keys() == ("likes-tea",)
    assert after.header.id != before.header.id
    assert output.stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_overwritten_only_by_force(
    chat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "native.jsonl"
    output.write_text("mine")
    assert main(["convert", str(chat), "-o", str(output)]) == 2
    assert "the file exists" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert main(["convert", str(chat), "-o", str(output), "--force"]) == 0
    assert load_session(output).source.format == "native"


def test_a_dash_writes_to_stdout_and_the_demo_is_the_input_without_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["convert", "-o", "-"]) == 0
    captured = capsys.readouterr()
    copy = tmp_path / "copy.jsonl"
    copy.write_text(captured.out)
    assert load_session(copy).memory_keys()
    assert captured.err.endswith("written to stdout\n")
