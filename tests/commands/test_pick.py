"""`--pick`: one conversation of a file that holds several."""

from __future__ import annotations

from pathlib import Path

import pytest

from memscope.cli import main
from tests.session.formats.examples import example


def test_the_picked_sample_is_converted_and_the_note_says_how_to_pick_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.json").write_bytes(example("inspect.json"))
    arguments = ["convert", str(tmp_path / "log.json"), "-o", str(tmp_path / "out.jsonl"), "--pick", "port"]
    assert main(arguments) == 0
    assert "this is sample port; choose another of the 2 with --pick: 2, port" in capsys.readouterr().err
    assert "Which port?" in (tmp_path / "out.jsonl").read_text()


def test_an_unknown_sample_is_a_usage_error_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.json").write_bytes(example("inspect.json"))
    assert main(["convert", str(tmp_path / "log.json"), "-o", "-", "--pick", "x"]) == 2
    assert capsys.readouterr().err.endswith("log.json: no sample 'x'; the file has 2, port\n")
