"""`memscope record` as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

VARIABLES = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_BASE_URL")


def record_command(state: Path, *arguments: str) -> list[str]:
    """Return the command line of `memscope record` with a state folder of its own."""
    return [sys.executable, "-m", "memscope", "record", "--state", str(state), *arguments]


def python_agent(program: str) -> list[str]:
    """Return the command that runs a Python program as the recorded agent."""
    return ["--", sys.executable, "-c", program]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a recorder: this one without the variables that it reads, and some others."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return kept | variables


def run_record(
    state: Path,
    *arguments: str,
    given: bytes = b"",
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run `memscope record` to its end.

    Args:
        state: The state folder.
        arguments: The other arguments.
        given: Its standard input.
        env: Its environment; by default `environment()`.
        before: Called in the new process before it starts.
    """
    return subprocess.run(
        record_command(state, *arguments),
        capture_output=True,
        env=env or environment(),
        input=given,
        timeout=60,
        preexec_fn=before,
    )


def start_record(state: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start `memscope record`; the caller ends it."""
    pipe = subprocess.PIPE
    return subprocess.Popen(record_command(state, *arguments), env=environment(), stdin=pipe, stdout=pipe, stderr=pipe)


def proxy_port(recorder: subprocess.Popen[bytes]) -> int:
    """Read what a recorder without a command says on stderr until it names its address, and return the port."""
    assert recorder.stderr is not None
    for line in recorder.stderr:
        if found := re.search(rb"forwarding http://127\.0\.0\.1:(\d+)/v1", line):
            return int(found[1])
    raise AssertionError("it named no address")


def recordings(state: Path) -> Sequence[Path]:
    """Return the recordings in a state folder."""
    return sorted((state / "recordings").glob("*.jsonl"))
