"""`memscope train`: what leaves, who is asked, and how it ends."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memscope.cli import main
from memscope.store.database import Database
from memscope.store.ledger import Ledger
from tests.conftest import ScorerAddress


@pytest.fixture(autouse=True)
def state(trainer: ScorerAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the command to the trainer by variables, as a user would; return the state folder."""
    monkeypatch.setenv("MEMSCOPE_API_KEY", trainer.token)
    monkeypatch.setenv("MEMSCOPE_URL", trainer.url)
    monkeypatch.setenv("MEMSCOPE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal as stdin; what is written to this descriptor was typed."""
    outer, inner = pty.openpty()
    with open(inner) as stdin:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", stdin)
        yield outer
    os.close(outer)


def shipments(state: Path) -> list[tuple[str, list[int]]]:
    database = Database(state)
    try:
        return [(s.state, [sample.position for sample in s.samples]) for s in Ledger(database).shipments()]
    finally:
        database.close()


def test_train_prints_what_is_sent_waits_and_compares(
    small_file: Path, state: Path, trainer: ScorerAddress, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(small_file), "--responses", "1,0", "--yes", "--verify"]) == 0
    printed = capsys.readouterr()
    first, *middle, last = printed.out.splitlines()
    assert first.startswith("2 samples, ")
    assert first.endswith(f"without memories in the context, to {trainer.url}/train")
    assert any(line.startswith("dependence fell by ") for line in middle)
    job, name, status = last.split()
    assert (job, status) == ("job", "succeeded")
    assert f"job {name} succeeded, step 20/20, loss " in printed.err
    assert shipments(state) == [("succeeded", [0, 1])]


def test_a_trained_response_is_refused_unless_again(
    small_file: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(small_file), "--responses", "0", "--yes"]) == 0
    capsys.readouterr()
    assert main(["train", str(small_file), "--responses", "1,0", "--yes"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "response 0 is already trained: nothing was sent" in printed.err
    again = ["--yes", "--again", "--context", "with", "--steps", "4", "--method", "full"]
    assert main(["train", str(small_file), "--responses", "0", *again]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].split(", ")[2].startswith("with memories")
    assert "step 4/4" in printed.err
    assert [s for s, _ in shipments(state)] == ["succeeded"] * 2


def test_without_waiting_the_job_is_named_and_later_commands_report_its_end(
    small_file: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(small_file), "--responses", "0", "--yes", "--no-wait"]) == 0
    name = capsys.readouterr().out.splitlines()[-1].split()[1]
    assert shipments(state) == [("accepted", [0])]
    while shipments(state) == [("accepted", [0])]:
        assert main(["finetune", str(small_file)]) == 0
    assert f"job {name}, sent earlier, is succeeded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--responses", "7"], "no response 7"), (["--responses", "0,-1"], "no response -1")],
)
def test_what_cannot_be_sent_is_refused_before_anything_leaves(
    small_file: Path, state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["train", str(small_file), *arguments, "--yes"]) == 1
    assert words in capsys.readouterr().err
    assert shipments(state) == []


@pytest.mark.parametrize("words", ["n\n", "\n"])
def test_no_is_the_answer_unless_yes_is_typed(
    small_file: Path, state: Path, typed: int, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    os.write(typed, words.encode())
    assert main(["train", str(small_file), "--responses", "0"]) == 1
    printed = capsys.readouterr()
    assert printed.out.endswith("send? [y/N] ")
    assert "nothing was sent" in printed.err
    assert shipments(state) == []


def test_yes_sends(small_file: Path, state: Path, typed: int) -> None:
    os.write(typed, b"y\n")
    assert main(["train", str(small_file), "--responses", "0"]) == 0
    assert shipments(state) == [("succeeded", [0])]


def test_nobody_to_ask_is_a_usage_error(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(small_file), "--responses", "0"]) == 2
    assert "pass --yes" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["", "--responses a", "--responses=", "--responses 0 --context x"])
def test_wrong_arguments_are_usage_errors(small_file: Path, given: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["train", str(small_file), *given.split()])


def test_a_training_option_out_of_range_is_a_usage_error(small_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(small_file), "--responses", "0", "--yes", "--steps", "0"]) == 2
    assert "training options: Expected `int` >= 1 - at `$.steps`" in capsys.readouterr().err


def test_a_server_that_cannot_train_says_who_can(
    small_file: Path, scorer: ScorerAddress, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSCOPE_URL", scorer.url)
    assert main(["train", str(small_file), "--responses", "0", "--yes"]) == 1
    said = capsys.readouterr().err
    assert "cannot train" in said
    assert "memscope serve" in said


def test_ctrl_c_ends_the_wait_and_not_the_job(small_file: Path, state: Path) -> None:
    command = [sys.executable, "-m", "memscope", "train", str(small_file), "--responses", "0", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "queued" not in (line := process.stderr.readline()):
            assert line, "it ended before the job was queued"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert out.splitlines()[-1].split()[0] == "job"
    assert "continues at" in err
    assert "run memscope finetune to see the result" in err
    assert "Traceback" not in err
    assert shipments(state) == [("accepted", [0])]


def test_an_embedded_scorer_is_waited_for_and_its_end_is_announced(
    small_file: Path, state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMSCOPE_URL")
    assert main(["train", str(small_file), "--responses", "0", "--yes", "--no-wait"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].endswith(" succeeded")
    assert "the trained weights are lost" in printed.err
    assert shipments(state) == [("succeeded", [0])]
