"""`memscope demo --live` on a pseudo-terminal: it shows the agent's memories, and leaves no process behind."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from memscope.session.load import load_session
from tests.conftest import ScorerAddress
from tests.ui.terminal import PATIENCE_SECONDS, Terminal

_START_SECONDS = 120.0
"""How long a scorer may take to load its model and to answer once."""


def _started(state: Path, *options: str, key: str = "") -> Terminal:
    """Start the demo and wait for the first memory on the screen."""
    demo = ("-P", "-m", "memscope", "demo", "--live", "--pace", "0.5", "--state", str(state), *options)
    terminal = Terminal(*demo, MEMSCOPE_API_KEY=key)
    terminal.until(b"user/greeting", patience=_START_SECONDS)
    return terminal


def _children(pid: int) -> list[int]:
    listed = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for children in listed for child in children]


def _descendants(pid: int) -> list[int]:
    return [found for child in _children(pid) for found in (child, *_descendants(child))]


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


class _Watched:
    """Handles of processes, taken while they run."""

    def __init__(self, pids: list[int]) -> None:
        self._handles = [os.pidfd_open(pid) for pid in pids]

    def assert_all_end(self) -> None:
        for handle in self._handles:
            assert select.select([handle], [], [], PATIENCE_SECONDS)[0], "a process is left"
            os.close(handle)


def test_ctrl_c_twice_ends_the_agent_and_keeps_its_recording(scorer: ScorerAddress, tmp_path: Path) -> None:
    with _started(tmp_path, "--url", scorer.url, key=scorer.token) as terminal:
        processes = _descendants(terminal.pid)
        assert len(processes) == 2, "the recorder and the agent"
        watched = _Watched(processes)
        terminal.send(b"\x03\x03")
        assert terminal.end() in (0, 130)
        assert terminal.as_before
        watched.assert_all_end()
    (recording,) = (tmp_path / "recordings" / "demo").iterdir()
    session = load_session(recording)
    assert session.header.title == "an agent at work"
    assert "user/greeting" in session.memory_keys()


def test_nothing_is_left_when_the_screen_is_killed(scorer: ScorerAddress, tmp_path: Path) -> None:
    with _started(tmp_path, "--url", scorer.url, key=scorer.token) as terminal:
        watched = _Watched(_descendants(terminal.pid))
        os.kill(terminal.pid, signal.SIGKILL)
        terminal.wait()
        watched.assert_all_end()


def test_the_screen_outlives_its_scorer_and_q_ends_the_rest(tmp_path: Path) -> None:
    with _started(tmp_path) as terminal:
        processes = _descendants(terminal.pid)
        assert len(processes) == 3, "the scorer, the recorder and the agent"
        watched = _Watched(processes)
        (scorer,) = (pid for pid in processes if "memscope.server" in _command(pid))
        os.kill(scorer, signal.SIGKILL)
        terminal.until(b"the agent stopped")
        watched.assert_all_end()
        terminal.send(b"q")
        assert terminal.end() == 0
        assert terminal.as_before


@pytest.mark.parametrize("options", [[], ["--live"]])
def test_without_a_terminal_the_demo_names_another_command(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from memscope.cli import main

    assert main(["demo", *options]) == 2
    assert "memscope score" in capsys.readouterr().err


def test_the_demo_is_the_bundled_session_whatever_else_is_configured(
    scorer: ScorerAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMSCOPE_FOLLOW", "1")
    with Terminal(
        "-P", "-m", "memscope", "demo", "--state", str(tmp_path), "--url", scorer.url, MEMSCOPE_API_KEY=scorer.token
    ) as terminal:
        terminal.until(b"a morning in ops")
