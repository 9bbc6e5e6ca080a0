"""What is printed: harmless on a terminal, exact in a pipe, and never more than stdout can write."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest

from memscope.terminal.printing import print_csv, print_json, print_json_text
from memscope.terminal.streams import can_redraw, prepare_streams

EVIL = "a\x1b[31m\x9b5m\u202e\u2028\x7f"


class Terminal(io.StringIO):
    """Text that believes it is on a screen."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Return the way to make stdout a terminal; the result is what it shows."""

    def made() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return made


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], io.BytesIO]:
    """Return the way to make stdout write some encoding; the result is what it wrote."""

    def with_encoding(name: str) -> io.BytesIO:
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=name))
        prepare_streams()
        return written

    return with_encoding


def test_json_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"key": EVIL})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert printed.rstrip("\n").isprintable()
    assert json.loads(printed) == {"key": EVIL}


def test_a_file_name_that_is_not_unicode_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"path": "a\udcff"})
    assert capsys.readouterr().out == '{"path": "a\\udcff"}\n'


def test_json_lines_hold_nothing_that_a_terminal_obeys(on_terminal: Callable[[], Terminal]) -> None:
    terminal = on_terminal()
    lines = [{"text": EVIL}, {"text": "é🙂"}]
    print_json_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    printed = terminal.getvalue()
    assert all(line.isprintable() for line in printed.splitlines())
    assert [json.loads(line) for line in printed.splitlines()] == lines
    assert "é🙂" in printed


def test_csv_is_made_visible_on_a_terminal(on_terminal: Callable[[], Terminal]) -> None:
    terminal = on_terminal()
    print_csv(f"key,0\n{EVIL},1.5\n")
    assert [line.isprintable() for line in terminal.getvalue().splitlines()] == [True, True]


def test_csv_is_exact_in_a_pipe(encoded: Callable[[str], io.BytesIO]) -> None:
    written = encoded("utf-8")
    print_csv(f"{EVIL},1\n")
    assert written.getvalue().decode() == f"{EVIL},1\n"


@pytest.mark.parametrize("name", ["ascii", "iso-8859-1", "cp1252", "koi8-r"])
def test_json_is_ascii_where_stdout_lacks_unicode(name: str, encoded: Callable[[str], io.BytesIO]) -> None:
    written = encoded(name)
    print_json({"text": "é … 数 🙂 \x7f"})
    assert written.getvalue().isascii()
    assert json.loads(written.getvalue()) == {"text": "é … 数 🙂 \x7f"}


def test_text_is_transliterated_where_stdout_lacks_unicode(encoded: Callable[[str], io.BytesIO]) -> None:
    written = encoded("ascii")
    print_csv("a … b · c 数\n")
    assert written.getvalue() == b"a ~ b . c \\u6570\n"


def test_what_stdout_can_write_stays(encoded: Callable[[str], io.BytesIO]) -> None:
    written = encoded("iso-8859-1")
    print_csv("é · 数\n")
    assert written.getvalue().decode("iso-8859-1") == "é · \\u6570\n"


@pytest.mark.parametrize(("term", "redraws"), [("xterm-256color", True), ("dumb", False), (None, False)])
def test_nothing_is_redrawn_on_a_terminal_that_is_dumb(
    term: str | None, redraws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    assert can_redraw(Terminal()) is redraws
    assert not can_redraw(io.StringIO())
