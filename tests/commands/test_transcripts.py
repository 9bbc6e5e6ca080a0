"""`--from` without a file: a choice on a terminal, and commands to copy elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from memscope.cli import main
from memscope.commands.opening import load_configured_session, session_file
from memscope.commands.transcripts import chosen_transcript
from memscope.config import Config
from memscope.demo import session_path
from memscope.errors import UsageError
from tests.session.formats.claude_files import small_transcript
from tests.session.test_transcripts import put


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two transcripts of Claude Code, the newest first."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "nowhere"))
    folder = tmp_path / "projects" / "it's here"
    return [put(folder / f"{age}.jsonl", small_transcript().data, 3_000 - age) for age in (1, 2)]


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> Terminal:
    monkeypatch.setattr("sys.stdin", Terminal(text))
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    return shown


@pytest.mark.parametrize(("text", "chosen"), [("2\n", 1), ("\n", 0), ("7\nno\n 1 \n", 0)])
def test_on_a_terminal_a_number_chooses(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, text: str, chosen: int
) -> None:
    shown = answer(monkeypatch, text)
    assert chosen_transcript("claude-code") == files[chosen]
    first, second, *_ = shown.getvalue().splitlines()
    assert first.startswith("  1  1970-")
    assert all(word in second for word in ("  2  ", "kB", "/home/mira/shop", "The staging port"))


@pytest.mark.parametrize("text", ["", "q\n"])
def test_nothing_chosen_is_a_usage_error(files: list[Path], monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    answer(monkeypatch, text)
    with pytest.raises(UsageError, match="no transcript chosen"):
        chosen_transcript("claude-code")


def test_elsewhere_the_commands_that_open_them_are_printed(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "--from", "claude-code"]) == 2
    said = capsys.readouterr().err
    assert "which transcript of claude-code?" in said
    assert "it'\"'\"'s here/1.jsonl'" in said
    assert said.index("1.jsonl") < said.index("2.jsonl")


def test_the_chosen_transcript_is_opened(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "\n")
    session = load_configured_session(None, Config(source_format="claude-code"))
    assert (session.source.path, session.source.format) == (str(files[0]), "claude-code")


def test_a_given_file_is_opened_and_without_either_the_demo(files: list[Path]) -> None:
    assert session_file("x.jsonl", Config(source_format="claude-code")) == "x.jsonl"
    assert session_file(None, Config()) == session_path()


@pytest.mark.parametrize(
    ("agent", "words"),
    [("native", "--from native needs a SESSION"), ("codex", "no transcripts in .*/nowhere/sessions")],
)
def test_an_agent_without_transcripts_is_a_usage_error(files: list[Path], agent: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen_transcript(agent)
