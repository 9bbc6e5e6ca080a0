"""`memscope importance`: what is due is scored and remembered, the rest is left alone and said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memscope.cli import main
from memscope.commands.importance import importance
from memscope.config import Config
from memscope.store.memory_weights import MemoryWeights


def measured(capsys: pytest.CaptureFixture[str], path: Path, config: Config, **options: Any) -> dict[str, Any]:
    assert importance(str(path), config, "json", **options) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_all_memories_are_scored_the_first_time(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measured(capsys, small_file, config)
    assert (report["memscope"], report["session"]) == (1, {"id": "small", "title": "a small session"})
    assert report["scorer"]["model"] == "tiny"
    assert [report[name] for name in ("scored", "failed", "fresh", "late")] == [3, 0, 0, 0]
    port, room, retro = report["memories"]
    assert (port["key"], port["section"], port["status"]) == ("db/port", "identity", "scored")
    assert port["weight"] == port["max"] > 3
    assert port["total"] >= port["max"]
    assert (port["responses"], port["times"]) == (3, 1)
    assert port["last_scored"].endswith("Z")
    assert room["max"] < 1
    assert (retro["section"], retro["responses"]) == ("conversation", 2)
    assert report["cost"]["calls"] == 5, "two memories share their baseline"


def test_a_second_run_right_after_scores_nothing_and_says_so(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    first = measured(capsys, small_file, config)
    second = measured(capsys, small_file, config)
    assert [second[name] for name in ("scored", "failed", "fresh", "late")] == [0, 0, 3, 0]
    assert second["cost"]["calls"] == 0
    assert [m["weight"] for m in second["memories"]] == [m["weight"] for m in first["memories"]]
    assert {m["status"] for m in second["memories"]} == {"fresh"}
    assert importance(str(small_file), config, "table") == 0
    table = capsys.readouterr().out
    assert table.startswith("nothing to score: 3 scored less than 3600 s ago, 0 late: too few responses")
    assert {line.split()[0] for line in table.splitlines()[3:]} == {"db/port", "retro/time", "mira/room"}
    assert table.splitlines()[-1].startswith("mira/room"), "the heaviest stands first"


def test_with_no_age_everything_is_due_again_and_counted(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(capsys, small_file, config)
    again = measured(capsys, small_file, config, max_age=0.0)
    assert again["scored"] == 3
    assert {m["times"] for m in again["memories"]} == {2}
    assert again["cost"]["calls"] == 0, "the scores themselves were remembered"


def test_the_window_and_its_context_are_choices(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measured(capsys, small_file, config, window=1, context="full")
    assert {m["responses"] for m in report["memories"]} == {1}


def test_an_interrupted_run_keeps_what_it_finished(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = MemoryWeights.add, []

    def interrupted(self: MemoryWeights, *arguments: Any) -> Any:
        asked.append(arguments)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryWeights, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            importance(str(small_file), config, "json")
    report = measured(capsys, small_file, config)
    assert (report["scored"], report["fresh"]) == (2, 1)
    assert [m["key"] for m in report["memories"] if m["status"] == "fresh"] == ["db/port"]


def test_memories_of_another_agent_are_separate_whatever_their_keys(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(capsys, small_file, config)["agent"] == str(small_file)
    copy = small_file.with_name("copy.jsonl")
    copy.write_bytes(small_file.read_bytes())
    assert measured(capsys, copy, config)["scored"] == 3, "another file is another agent where nothing names one"
    named = ["importance", "--state", str(config.state), "--url", str(config.url), "--format", "json"]
    fresh = []
    for path in (copy, small_file):
        assert main([*named, "--agent", "mira", str(path)]) == 0
        report = json.loads(capsys.readouterr().out)
        fresh.append((report["agent"], report["fresh"]))
    monkeypatch.setenv("MEMSCOPE_AGENT", "mira")
    assert main([*named, str(copy)]) == 0
    fresh.append(("variable", json.loads(capsys.readouterr().out)["fresh"]))
    assert fresh == [("mira", 0), ("mira", 3), ("variable", 3)]


def test_a_memory_that_says_something_else_now_is_scored_again(
    small_file: Path, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(capsys, small_file, config)
    small_file.write_bytes(small_file.read_bytes().replace(b"room C217", b"room D318"))
    report = measured(capsys, small_file, config)
    assert {m["key"]: (m["status"], m["times"]) for m in report["memories"]} == {
        "db/port": ("fresh", 1),
        "mira/room": ("scored", 1),
        "retro/time": ("fresh", 1),
    }
