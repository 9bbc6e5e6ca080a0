"""A matrix that was killed and resumed is the matrix of a run that nothing disturbed, to the last bit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from memscope.config import Config
from memscope.demo.build.generator import Shape, make_session
from memscope.session.formats.native_writer import write_native
from tests.conftest import ScorerAddress, start_scorer, stop_scorer
from tests.demo_sessions import as_session

_KILLED_AFTER = """
import os, signal, sys
from memscope.cli import main
from memscope.run.run import Run
from memscope.scoring.events import RowDone

emit, left = Run.emit, int(sys.argv[1])

def emit_and_die(self, event):
    global left
    emit(self, event)
    left -= isinstance(event, RowDone)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

Run.emit = emit_and_die
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def session_file(tmp_path: Path) -> Path:
    path = tmp_path / "generated.jsonl"
    path.write_bytes(write_native(as_session(make_session(Random("killed"), Shape(7, 8)))))
    return path


def scored(file: Path, state: Path, url: str, *, killed_after: int = -1) -> dict[str, Any]:
    """Return what `memscope score` prints; nothing when it was killed."""
    command = [sys.executable, "-c", _KILLED_AFTER, str(killed_after), "score", str(file), "--format", "json"]
    done = subprocess.run([*command, "--url", url, "--state", str(state)], capture_output=True, env=os.environ)
    if killed_after > 0:
        assert done.returncode == -signal.SIGKILL
        return {}
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_a_killed_and_resumed_run_gives_the_same_bits(session_file: Path, config: Config, tmp_path: Path) -> None:
    url = str(config.url)
    for rows in (1, 4):
        scored(session_file, tmp_path / "killed", url, killed_after=rows)
    resumed = scored(session_file, tmp_path / "killed", url)
    whole = scored(session_file, tmp_path / "whole", url)
    fresh_scorer: ScorerAddress = start_scorer("--served-name", "tiny", "--no-training")
    try:
        cold = scored(session_file, tmp_path / "cold", fresh_scorer.url)
    finally:
        stop_scorer(fresh_scorer)
    assert 0 < resumed["cost"]["calls"] < whole["cost"]["calls"]
    for report in (resumed, cold):
        for part in ("divergence", "responses", "memories", "noise_floor"):
            assert report[part] == whole[part]
