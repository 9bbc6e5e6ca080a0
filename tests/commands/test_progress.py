"""The line of progress: where a person watches, and only on a terminal that can erase it."""

from __future__ import annotations

import io

import pytest

from memscope.commands.progress import ProgressLine
from memscope.scoring.events import Finished, Notice, Progress, ScorerStarting, SessionNotes

NOTES = "memscope: note: 1 image skipped\nmemscope: note: reconstructed\nmemscope: note: beware\n"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def written(stream: io.StringIO) -> str:
    line = ProgressLine(stream)
    for event in (
        ScorerStarting("starting"),
        Progress(1, 2, 1.0, 1.0),
        SessionNotes(("1 image skipped", "reconstructed")),
        Notice("beware"),
        Progress(2, 2, 1.0, 0.0),
        Finished(1, 2, 3, 4.0, failed=0, cancelled=False),
    ):
        line(event)
    return stream.getvalue()


def test_a_terminal_shows_progress_and_erases_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = written(Terminal())
    assert "1/2 rows" in text
    assert text.endswith("\r\x1b[K")


@pytest.mark.parametrize("term", ["dumb", None])
def test_a_dumb_terminal_gets_no_escape_sequence(monkeypatch: pytest.MonkeyPatch, term: str | None) -> None:
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    assert written(Terminal()) == NOTES


def test_a_file_gets_only_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert written(io.StringIO()) == NOTES
