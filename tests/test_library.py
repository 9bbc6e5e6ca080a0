"""What `import memscope` offers, as its docstring shows it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import memscope
from memscope.config import Config
from memscope.errors import ConfigError, SessionError
from memscope.scoring.events import Event, Finished, RowDone, RowStarted
from tests.session.formats.claude_files import Transcript


def test_the_options_of_a_session_file_apply_when_it_is_scored(tmp_path: Path, config: Config) -> None:
    made = Transcript()
    made.user("Which port?")
    made.assistant("7432")
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(made.data)
    (tmp_path / "CLAUDE.md").write_text("The port is 7432.")
    assert memscope.load(path, source_format="claude-code", project=tmp_path).memory_keys() == ("CLAUDE.md",)
    matrix = memscope.score(path, url=config.url, state=config.state, project=str(tmp_path))
    assert matrix.keys == ("CLAUDE.md",)
    assert matrix.report["session"]["context"] == "from disk"


def test_a_session_becomes_a_matrix(small_file: Path, config: Config) -> None:
    events: list[Event] = []
    session = memscope.load(small_file)
    matrix = memscope.score(session, url=config.url, state=config.state, on_event=events.append)
    assert matrix.keys == ("db/port", "mira/room", "retro/time")
    assert matrix.values.shape == (len(matrix.keys), len(matrix.responses)) == (3, 3)
    assert matrix.values.dtype == np.float64
    assert repr(matrix) == "<Matrix of 3 memories x 3 responses, scored by tiny>"
    assert matrix.values[0, 0] > 3, "the answer states what only this memory tells"
    assert matrix.values[2, 0] == 0.0, "a response before the memory is exactly 0"
    assert matrix.noise_floor is not None
    assert json.loads(matrix.to_json())["divergence"] == matrix.values.tolist()
    assert matrix.to_csv().splitlines()[1].startswith("db/port,identity,")
    assert sum(isinstance(event, RowDone) for event in events) == 3


def test_it_may_be_called_where_an_event_loop_runs(small_file: Path, config: Config) -> None:
    async def notebook() -> memscope.Matrix:
        return memscope.score(small_file, url=config.url, state=config.state, measure="sufficiency")

    assert asyncio.run(notebook()).values[0, 0] > 3


def test_an_interruption_ends_it_where_an_event_loop_runs(
    small_file: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, events, waiting = threading.get_ident(), list[Event](), threading.Event()
    join = threading.Thread.join

    def wait_for(thread: threading.Thread, timeout: float | None = None) -> None:
        waiting.set()
        join(thread, timeout)

    def interrupt(event: Event) -> None:
        events.append(event)
        if isinstance(event, RowStarted) and not waiting.is_set():
            signal.pthread_kill(main, signal.SIGINT)
            waiting.wait()

    async def notebook() -> None:
        with pytest.raises(KeyboardInterrupt):
            memscope.score(small_file, url=config.url, state=config.state, on_event=interrupt)

    monkeypatch.setattr(threading.Thread, "join", wait_for)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(notebook())
    loop.close()
    assert [event.cancelled for event in events if isinstance(event, Finished)] == [True]


def test_the_examples_of_the_docstring_run(
    small_file: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line[8:] for line in (memscope.__doc__ or "").splitlines() if line.startswith(("    >>> ", "    ... "))]
    example = "\n".join(lines).replace("session.jsonl", str(small_file))
    assert 'model="path/or/hub-name"' in example
    monkeypatch.setenv("MEMSCOPE_STATE", str(config.state))
    monkeypatch.chdir(tmp_path)
    exec(example.replace('model="path/or/hub-name"', f'url="{config.url}"'), {})
    assert memscope.load("run.jsonl").memory_keys() == ("db/port",)


def test_what_is_wrong_is_an_error_of_memscope(tmp_path: Path, small_file: Path) -> None:
    assert issubclass(SessionError, memscope.MemscopeError)
    with pytest.raises(SessionError, match="missing"):
        memscope.load(tmp_path / "missing.jsonl")
    with pytest.raises(ConfigError, match="unknown option 'modle'"):
        memscope.score(small_file, modle="x")
    with pytest.raises(AttributeError, match="no attribute 'scores'"):
        memscope.scores  # noqa: B018


def test_nothing_is_imported_before_it_is_used() -> None:
    program = "import sys, memscope; dir(memscope); print(sorted(m for m in sys.modules if m.startswith('memscope')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['memscope']"
