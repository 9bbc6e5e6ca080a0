"""The screen on a pseudo-terminal: what bytes, signals and crashes do to it, and how it leaves the terminal."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.ui.terminal import Terminal

PROGRAM = str(Path(__file__).with_name("unscored.py"))
SECRET = "sk-what-nobody-may-read"
ESCAPE = b"\x1b[27u"
"""As terminals with the Kitty protocol send it: a lone ESC could be the start of what follows."""

ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"


def opened(state: Path, *options: str, ignored: Sequence[signal.Signals] = ()) -> Terminal:
    terminal = Terminal(PROGRAM, "--state", str(state), *options, ignored=ignored, MEMSCOPE_API_KEY=SECRET)
    terminal.until(b"not scored")
    return terminal


def test_no_byte_ends_the_screen_and_ctrl_z_does_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as terminal:
        for harmful in (b"\xff", b"\x1b[999999999999~", b"\x1a"):
            terminal.send(harmful + b"?")
            terminal.until(b"keys")
            terminal.send(ESCAPE)
        terminal.send(b"q")
        assert terminal.end() == 0
        assert terminal.as_before


def test_a_text_that_the_terminal_does_not_bracket_is_no_flood_of_keys(tmp_path: Path) -> None:
    text = b"".join(b"line %d of a text that goes on and on, quit\r" % number for number in range(2500))
    with opened(tmp_path) as terminal:
        terminal.send(b"/")
        terminal.until(b"whose key or text")
        for start in range(0, len(text), 2048):
            terminal.send(text[start : start + 2048])
        terminal.until(b"line 0 of a text that goes on and on, quit")
        terminal.send(ESCAPE)
        terminal.until(b"not scored")
        terminal.send(b"q")
        assert terminal.end() == 0


def test_a_stopped_screen_leaves_the_terminal_and_comes_back(tmp_path: Path) -> None:
    with opened(tmp_path) as terminal:
        os.kill(terminal.pid, signal.SIGTSTP)
        terminal.until(LEFT)
        os.waitpid(terminal.pid, os.WUNTRACED)
        assert terminal.as_before
        os.kill(terminal.pid, signal.SIGCONT)
        again = terminal.until(lambda data: ENTERED in data and b"not scored" in data)
        assert b"memories" in again
        terminal.send(b"?")
        terminal.until(b"keys")
        terminal.send(ESCAPE + b"q")
        assert terminal.end() == 0
        assert terminal.as_before


def test_an_unexpected_error_ends_in_one_line_without_a_secret(tmp_path: Path) -> None:
    with opened(tmp_path, "--crash") as terminal:
        terminal.send(b"p")
        assert terminal.end() == 1
        said = terminal.output.rpartition(LEFT)[2].decode()
        lines = [line for line in re.sub(r"\x1b\[[?\d;<>]*[a-z]", "", said).splitlines() if line.strip()]
        assert len(lines) == 1
        assert lines[0].startswith("memscope: unexpected LookupError at unscored.py")
        assert SECRET not in terminal.output.decode()
        assert terminal.as_before
    log = (tmp_path / "debug.log").read_text()
    assert "_crash" in log
    assert "Traceback" in log or "traceback" in log
    assert SECRET not in log
    assert "api_key = '" not in log


def test_a_terminal_that_goes_away_ends_the_screen(tmp_path: Path) -> None:
    terminal = opened(tmp_path, ignored=[signal.SIGHUP])  # as under nohup
    terminal.hang_up()
    terminal.wait()
