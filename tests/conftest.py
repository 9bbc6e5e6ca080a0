"""Fixtures that every room's tests share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from memscope.config import Config
from memscope.session.formats.native import read_native
from memscope.session.nodes import Session

_TOKEN = "a token for tests"

# A job that a shell started in the background ignores them, and so would every program that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

SMALL_SESSION = b"""\
{"type":"session","version":1,"id":"small","title":"a small session"}
{"type":"branch","section":"system","role":"system","children":[{"type":"content","text":"You are a helpful agent."}]}
{"type":"memory","section":"identity","key":"db/port","text":"The staging database listens on port 7432."}
{"type":"memory","section":"identity","key":"mira/room","text":"Mira sits in room C217."}
{"type":"branch","role":"user","children":[{"type":"content","text":"Which port does the staging database use?"}]}
{"type":"branch","role":"assistant","timestamp":"2026-11-20T10:00:00Z",\
"children":[{"type":"content","text":"The staging database listens on port 7432."}]}
{"type":"log","text":"never sent"}
{"type":"memory","key":"retro/time","text":"The retro meeting is on Thursday at 15:30."}
{"type":"branch","role":"user","children":[{"type":"content","text":"When is the retro meeting?"}]}
{"type":"branch","role":"assistant","timestamp":"2026-11-20T10:01:00Z",\
"children":[{"type":"content","text":"The retro meeting is on Thursday at 15:30."}]}
{"type":"branch","role":"user","children":[{"type":"content","text":"Thanks!"}]}
{"type":"branch","role":"assistant","children":[{"type":"content","text":"You're welcome."}]}
"""
"""Three memories, three responses: the second response needs the memory surfaced before it, the last has no time."""


@dataclass(frozen=True)
class ScorerAddress:
    """A running scorer: its base address, its API key, and its process."""

    url: str
    token: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio only, as memscope does."""
    return "asyncio"


@pytest.fixture
def small_session() -> Session:
    """The small session, read from its file format."""
    return read_native(SMALL_SESSION, "small.jsonl")


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """The small session as a file."""
    path = tmp_path / "small.jsonl"
    path.write_bytes(SMALL_SESSION)
    return path


def start_scorer(*arguments: str) -> ScorerAddress:
    """Start `memscope serve` with the bundled model as a process of its own; the caller ends it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "memscope.server", "--port", "0", "--threads", "1", "--as-child", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "MEMSCOPE_SERVE_TOKEN": _TOKEN, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    assert process.stdout is not None
    port = json.loads(process.stdout.readline())["port"]
    return ScorerAddress(f"http://127.0.0.1:{port}/v1", _TOKEN, process)


def stop_scorer(address: ScorerAddress) -> None:
    """End a scorer that `start_scorer` started."""
    address.process.terminate()
    address.process.communicate(timeout=20)


@pytest.fixture(scope="session")
def scorer() -> Iterator[ScorerAddress]:
    """One real scorer for the whole session of tests; no test may change its weights."""
    address = start_scorer("--served-name", "tiny", "--no-training")
    yield address
    stop_scorer(address)


@pytest.fixture(scope="module")
def trainer() -> Iterator[ScorerAddress]:
    """A scorer that trains, for one module of tests: its weights change from test to test."""
    address = start_scorer("--served-name", "tiny")
    yield address
    stop_scorer(address)


@pytest.fixture
def config(scorer: ScorerAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Options that point to the shared scorer and to a state folder of this test's own."""
    monkeypatch.setenv("MEMSCOPE_API_KEY", scorer.token)
    return Config(url=scorer.url, state=str(tmp_path / "state"))
