"""`memscope finetune`: what it prints, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memscope.cli import main
from memscope.config import Config
from memscope.errors import ScorerError
from memscope.run.candidates import Candidates
from memscope.scoring.events import AlternateFailed


@pytest.fixture(autouse=True)
def there(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the command to the shared scorer by variables, as a user would."""
    monkeypatch.setenv("MEMSCOPE_URL", config.url or "")
    monkeypatch.setenv("MEMSCOPE_STATE", config.state or "")


def test_the_json_is_as_specified(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(small_file), "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == ["candidates", "responses_seen", "max_divergence", "threshold"]
    assert (report["responses_seen"], report["threshold"]) == (3, 1.0)
    found = {candidate["index"]: candidate for candidate in report["candidates"]}
    assert sorted(found) == [0, 1]
    assert list(found[1]) == ["index", "entry_index", "divergence", "timestamp", "text", "alternate"]
    assert (found[1]["entry_index"], found[1]["timestamp"]) == (5, "2026-11-20T10:01:00Z")
    assert found[1]["text"] == "The retro meeting is on Thursday at 15:30."
    assert found[1]["alternate"] is None
    divergences = [candidate["divergence"] for candidate in report["candidates"]]
    assert divergences == sorted(divergences, reverse=True)
    assert report["max_divergence"] >= divergences[0]


def test_the_table_holds_the_same(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(small_file), "--count", "5", "--context", "window"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["response", "nats"]
    assert len(lines) == 1
    assert lines[0].split()[0] == "1"
    assert "The retro meeting" in lines[0]


@pytest.mark.parametrize("format_", ["json", "table"])
def test_without_candidates_it_says_why(small_file: Path, capsys: pytest.CaptureFixture[str], format_: str) -> None:
    assert main(["finetune", str(small_file), "--threshold", "5000", "--format", format_]) == 0
    said = capsys.readouterr().out
    if format_ == "json":
        assert json.loads(said)["candidates"] == []
        assert json.loads(said)["threshold"] == 5000
    else:
        assert said.startswith("no candidate: 3 responses seen, maximum divergence ")
        assert said.endswith("threshold 5000\n")


def test_alternates_come_with_their_candidates(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", str(small_file), "--alternates", "--format", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert all(candidate["alternate"] for candidate in report["candidates"])
    assert main(["finetune", str(small_file), "--alternates"]) == 0
    table = capsys.readouterr().out
    assert " ".join(report["candidates"][0]["alternate"].split())[:20] in table


def test_an_alternate_that_fails_is_named_and_the_others_are_printed(
    small_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Candidates.alternate

    async def fails_once(self: Candidates, response: str, seed: int = 0) -> str | None:
        if response == self._run.layout.responses[0]:
            self._run.emit(AlternateFailed(response, str(ScorerError("out of memory"))))
            return None
        return await generate(self, response, seed)

    monkeypatch.setattr(Candidates, "alternate", fails_once)
    assert main(["finetune", str(small_file), "--alternates", "--format", "json"]) == 1
    printed = capsys.readouterr()
    found = {candidate["index"]: candidate for candidate in json.loads(printed.out)["candidates"]}
    assert found[0]["alternate"] is None
    assert found[1]["alternate"]
    assert "alternate of response 0: out of memory" in printed.err
