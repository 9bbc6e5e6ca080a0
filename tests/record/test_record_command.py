"""`memscope record -- COMMAND`: the command runs as if it had been started directly."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.record.commands import (
    VARIABLES,
    environment,
    proxy_port,
    python_agent,
    record_command,
    recordings,
    run_record,
    start_record,
)
from tests.record.harness import ANSWER, scripted

WAITING = """
import signal, sys
numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
print("ready", flush=True)
for _ in numbers:
    print(signal.Signals(signal.sigwait(numbers)).name, flush=True)
sys.exit(5)
"""
ASKING = """
import signal
def interrupted(*_):
    print("interrupted", flush=True)
signal.signal(signal.SIGINT, interrupted)
print("ready", flush=True)
print("was told", input(), flush=True)
"""
APART = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR1})
os.setpgid(0, 0)
print("recorder", os.getppid(), "ready", flush=True)
while (number := signal.sigwait({signal.SIGINT, signal.SIGUSR1})) != signal.SIGUSR1:
    print(signal.Signals(number).name, flush=True)
print("ended", flush=True)
"""


@pytest.mark.parametrize(("script", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("true", 0)])
def test_the_exit_status_is_the_commands_own(tmp_path: Path, script: str, status: int) -> None:
    assert run_record(tmp_path, "--", "sh", "-c", script).returncode == status


def ignore_ends_of_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def test_the_exit_status_is_not_lost_where_ends_of_children_are_ignored(tmp_path: Path) -> None:
    done = run_record(tmp_path, "--", "sh", "-c", "exit 7", before=ignore_ends_of_children)
    assert done.returncode == 7


def test_standard_streams_are_the_commands_own(tmp_path: Path) -> None:
    done = run_record(tmp_path, "--", "sh", "-c", "cat; echo oops >&2", given=b"\x00\xff bytes")
    assert done.stdout == b"\x00\xff bytes"
    first, second, third = done.stderr.decode().splitlines()
    assert first == f"memscope: recording to {recordings(tmp_path)[0]}"
    assert second == "oops"
    assert third.startswith("memscope: no call was recorded")


def test_the_command_is_pointed_to_the_proxy_even_behind_an_http_proxy(tmp_path: Path) -> None:
    program = f"import os; print(*(os.environ[name] for name in {(*VARIABLES, 'NO_PROXY', 'no_proxy')!r}))"
    done = run_record(
        tmp_path,
        *python_agent(program),
        env=environment(OPENAI_API_BASE="http://h:1/v1", HTTP_PROXY="http://p:1", NO_PROXY="a.example", no_proxy=""),
    )
    base, same, root, excluded, *_ = done.stdout.decode().split()
    assert base == same == f"{root}/v1"
    assert root.startswith("http://127.0.0.1:")
    assert excluded == "a.example,127.0.0.1,localhost"


def test_a_command_that_does_not_exist_gives_127(tmp_path: Path) -> None:
    done = run_record(tmp_path, "--", "no-such-agent", "--flag")
    assert (done.returncode, done.stderr) == (127, b"memscope: no-such-agent: command not found\n")
    assert recordings(tmp_path) == []


def test_a_command_that_cannot_be_executed_gives_126(tmp_path: Path) -> None:
    (tmp_path / "agent").write_text("text")
    done = run_record(tmp_path, "--", str(tmp_path / "agent"))
    assert (done.returncode, done.stderr) == (126, f"memscope: {tmp_path}/agent: permission denied\n".encode())


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_record(tmp_path, "--port", str(port), "--", "true")
    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"memscope: cannot listen on port {port}: Address already in use; choose another with --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "ftp://user:hidden@host"), "--to: expected an address such as http://host:8000/v1"),
        (("--port", "99999"), "expected a port from 0 to 65535"),
    ],
)
def test_an_invalid_option_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run_record(tmp_path, *arguments, "--", "true")
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert b"hidden" not in done.stderr


def test_signals_for_the_recorder_reach_the_command(tmp_path: Path) -> None:
    recorder = start_record(tmp_path, *python_agent(WAITING))
    assert recorder.stdout is not None
    assert recorder.stdout.readline() == b"ready\n"
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"):
        recorder.send_signal(signal.Signals[name])
        assert recorder.stdout.readline() == f"{name}\n".encode()
    recorder.communicate(timeout=20)
    assert recorder.returncode == 5


def test_signals_that_were_ignored_stay_ignored(tmp_path: Path) -> None:
    program = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    command = [*ignoring, *record_command(tmp_path, *python_agent(program))]
    done = subprocess.run(command, capture_output=True, env=environment())
    assert done.stdout == b"True\n"
    alone = subprocess.Popen(
        [*ignoring, *record_command(tmp_path, "--to", "http://127.0.0.1:1")], env=environment(), stderr=subprocess.PIPE
    )
    assert proxy_port(alone)
    alone.send_signal(signal.SIGINT)
    alone.send_signal(signal.SIGTERM)
    alone.communicate(timeout=20)
    assert alone.returncode == 0


class Terminal:
    """A shell with job control on a terminal of its own."""

    def __init__(self) -> None:
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], environment(PS1="$ ", TERM="dumb"))
        self._seen = b""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, words: str) -> str:
        """Return what appears up to and including some words."""
        while words.encode() not in self._seen:
            assert select.select([self._terminal], [], [], 20)[0], self._seen
            self._seen += os.read(self._terminal, 65536)
        shown, _, self._seen = self._seen.partition(words.encode())
        return shown.decode() + words

    def close(self) -> None:
        os.close(self._terminal)  # the shell and its jobs are hung up
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    if not Path("/bin/bash").exists():
        pytest.skip("needs bash")
    opened = Terminal()
    yield opened
    opened.close()


def start_in(terminal: Terminal, folder: Path, program: str) -> None:
    (folder / "agent.py").write_text(program)
    terminal.type(" ".join(record_command(folder, "--", sys.executable, str(folder / "agent.py"))) + "\n")


def test_the_terminal_interrupts_stops_and_continues_the_command(tmp_path: Path, terminal: Terminal) -> None:
    start_in(terminal, tmp_path, ASKING)
    terminal.read_until("ready")
    terminal.type("\x03")
    terminal.read_until("interrupted")
    terminal.type("\x1a")
    terminal.read_until("Stopped")
    terminal.type("fg\n")
    terminal.read_until("agent.py")
    terminal.type("something\n")
    terminal.read_until("was told something")
    terminal.read_until("no call was recorded")


def test_what_the_terminal_sends_is_not_passed_on_since_it_reaches_the_command_by_itself(
    tmp_path: Path, terminal: Terminal
) -> None:
    start_in(terminal, tmp_path, APART)  # the terminal does not reach this one
    terminal.read_until("recorder ")
    recorder = int(terminal.read_until("ready").split()[0])
    terminal.type("\x03")
    terminal.read_until("^C")
    os.kill(recorder, signal.SIGUSR1)
    assert "SIGINT" not in terminal.read_until("ended")


def test_a_recorder_that_saw_other_requests_only_says_so(tmp_path: Path) -> None:
    program = "import os, urllib.request; urllib.request.urlopen(os.environ['OPENAI_BASE_URL'] + '/models')"
    with scripted(ANSWER) as upstream:
        done = run_record(tmp_path, "--to", upstream.url, *python_agent(program))
    words = b"memscope: no call was recorded: 1 request came, none of them to an API that is recorded"
    assert done.stderr.splitlines()[1:] == [words]


def test_a_recorder_without_a_command_says_where_it_listens_and_ends_on_a_signal(tmp_path: Path) -> None:
    recorder = start_record(tmp_path, "--to", "http://user:hidden@127.0.0.1:1/v1")
    assert proxy_port(recorder)
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 130
    assert b"hidden" not in said
    assert b"Traceback" not in said
