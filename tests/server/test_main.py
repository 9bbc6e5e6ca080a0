"""The process: what it says, how it ends, and that it never outlives its parent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from memscope.errors import ScorerError, UsageError
from memscope.server.main import _listen, serve
from memscope.server.options import API_KEY_VARIABLE, ServeOptions

_COMMAND = [sys.executable, "-m", "memscope.server", "--port", "0", "--threads", "1"]
_ENVIRONMENT = os.environ | {API_KEY_VARIABLE: "token"}


@contextlib.contextmanager
def _child() -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [*_COMMAND, "--as-child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
    )
    with process:
        assert process.stdout is not None
        try:
            announced = json.loads(process.stdout.readline())
            assert announced["pid"] == process.pid
            yield process, announced["port"]
        finally:
            process.kill()


LOADING = "memscope: loading the model …\n"
"""What is said if loading takes longer than a moment."""


def test_a_child_announces_itself_answers_with_its_token_and_ends_on_sigterm_even_while_training() -> None:
    with _child() as (process, port):
        url = f"http://127.0.0.1:{port}/v1/score"
        body = {"prompt": [5, 6, 7], "score_ranges": [[1, 3]]}
        assert httpx.post(url, json=body).status_code == 401
        reply = httpx.post(url, json=body, headers={"Authorization": "Bearer token"})
        assert reply.json()["scores"][0]["total_logprob"] < 0
        samples = [{"context_ids": [5, 6], "continuation_ids": [7]}]
        training = {"training_data": {"samples": samples}, "options": {"steps": 10_000}}
        headers = {"Authorization": "Bearer token"}
        job = httpx.post(f"http://127.0.0.1:{port}/v1/train", json=training, headers=headers).json()
        assert job["status"] in {"queued", "running"}
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")


def test_a_standalone_server_prints_its_address() -> None:
    with subprocess.Popen(_COMMAND, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line != LOADING)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    ready = r"memscope: memscope-demo \(float32, cpu\) is ready at (http://127\.0\.0\.1:\d+/v1); .*\n"
    said = re.fullmatch(ready, line)
    assert said, line


def test_a_child_ends_when_its_standard_input_ends() -> None:
    with _child() as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_a_child_ends_when_its_parent_is_killed() -> None:
    # The parent holds no pipe to the child's standard input here, so that only the parent's end can tell.
    program = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen({[*_COMMAND, '--as-child']!r}, stdin=open('/dev/zero'), stdout=subprocess.PIPE);"
        "sys.stdout.write(child.stdout.readline().decode()); sys.stdout.flush(); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT
    ) as parent:
        assert parent.stdout is not None
        child = json.loads(parent.stdout.readline())["pid"]
        watched = os.pidfd_open(child)
        parent.kill()
        try:
            assert select.select([watched], [], [], 20)[0] == [watched]
        finally:
            os.close(watched)


def test_what_cannot_be_served_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, "--model", str(tmp_path)], capture_output=True, text=True, env=_ENVIRONMENT, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    wrong = f"memscope: model {tmp_path}: no config.json, so this is not a Hugging Face model folder\n"
    assert done.stderr.removeprefix(LOADING) == wrong


def test_a_taken_port_is_said(model_folders: Callable[[str], Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ScorerError, match=f"port {port}: .*choose another with --port"):
            serve(ServeOptions(model=str(model_folders("bundled")), port=port))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_non_loopback_address_needs_a_key(host: str) -> None:
    with pytest.raises(UsageError, match="without an API key"):
        serve(ServeOptions(model="any", host=host, port=0))


def test_a_child_without_a_token_is_refused() -> None:
    environment: dict[str, Any] = {name: value for name, value in os.environ.items() if name != API_KEY_VARIABLE}
    done = subprocess.run([*_COMMAND, "--as-child"], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 2
    assert API_KEY_VARIABLE in done.stderr


def test_the_package_and_its_start_import_no_torch() -> None:
    program = (
        "import sys, memscope.server, memscope.server.main, memscope.server.options;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'starlette', 'uvicorn')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.anyio
async def test_answers_are_sent_without_waiting_for_the_client_to_acknowledge() -> None:
    accepted: asyncio.Queue[int] = asyncio.Queue()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.put_nowait(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = _listen(ServeOptions(model="none", port=0))
    async with await asyncio.start_server(connected, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await accepted.get()
        writer.close()
        await writer.wait_closed()
