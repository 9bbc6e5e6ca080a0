"""The agent under `memscope record`: what it records, and that no process is left when one is killed."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from memscope.demo.live.recorded import RecordedAgent
from memscope.demo.live.script import ALWAYS, TURNS
from memscope.secret import Secret
from memscope.session.load import load_session
from memscope.session.nodes import Session, memories_of
from memscope.session.text import leaf_text
from tests.conftest import ScorerAddress

_ANSWERS = {
    "Which port does the staging database use?": ("7432", "5117"),
    "Where does Mira sit?": ("D340",),
    "What port is the search cache on?": ("8250",),
    "Run the deploy script for orchid.": ("ops/ship.sh",),
    "Who owns the ledger gateway?": ("I don't know",),
}
"""What the answers to a question state, each time that it is asked."""

_PARENT = """\
import asyncio, sys
from pathlib import Path
from memscope.demo.live.recorded import RecordedAgent

async def main():
    agent = await RecordedAgent.start(sys.argv[1], None, Path(sys.argv[2]), 0.0)
    print(agent.pid, flush=True)
    print(await agent.wait(), flush=True)

asyncio.run(main())
"""


def _text(session: Session, position: int) -> str:
    node = session.nodes[position]
    return "".join(map(leaf_text, getattr(node, "children", ())))


@pytest.mark.anyio
async def test_what_the_agent_says_is_recorded_with_its_memories(scorer: ScorerAddress, tmp_path: Path) -> None:
    recording = tmp_path / "run.jsonl"
    agent = await RecordedAgent.start(scorer.url, Secret(scorer.token), recording, 0.0)
    assert await agent.wait() is None
    session = load_session(recording)
    said: dict[str, list[str]] = {}
    for call in session.calls:
        keys = [memory.key for position in call.prompt for memory in memories_of(session.nodes[position])]
        assert keys[: len(ALWAYS)] == [note.key for note in ALWAYS]
        assert call.response is not None
        said.setdefault(_text(session, call.prompt[-1]), []).append(_text(session, call.response))
    assert set(said) == {*(turn for turn in TURNS if isinstance(turn, str)), "exit code 0"}
    for question, answers in _ANSWERS.items():
        assert all(answer in text for answer, text in zip(answers, said[question], strict=True))


@pytest.mark.anyio
async def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    agent = await RecordedAgent.start("http://127.0.0.1:9/v1", None, tmp_path / "run.jsonl", 0.0)
    assert "127.0.0.1" in (await agent.wait() or "")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.mark.parametrize("victim", ["parent", "recorder", "agent"])
def test_no_process_is_left_when_one_is_killed(silent: socket.socket, tmp_path: Path, victim: str) -> None:
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, url, str(tmp_path / "run.jsonl")], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    recorder = int(parent.stdout.readline())
    connection, _ = silent.accept()  # the agent is up and asks
    (agent,) = map(int, Path(f"/proc/{recorder}/task/{recorder}/children").read_text().split())
    pids = {"parent": parent.pid, "recorder": recorder, "agent": agent}
    handles = {name: os.pidfd_open(pid) for name, pid in pids.items()}
    os.kill(pids[victim], signal.SIGKILL)
    for name, handle in handles.items():
        assert select.select([handle], [], [], 30)[0], f"the {name} outlived the {victim}"
        os.close(handle)
    connection.close()
    said, _ = parent.communicate()
    assert said.decode().strip() == ("" if victim == "parent" else "killed by SIGKILL")
