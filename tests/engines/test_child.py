"""The embedded scorer: started on loopback, ended with its parent, its last words kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from rich.pretty import pretty_repr

from memscope.engines.child import EmbeddedServer
from memscope.errors import ScorerGoneError

pytestmark = pytest.mark.anyio


async def test_a_child_requires_its_token_and_stops_on_request() -> None:
    server = await EmbeddedServer.start(None)
    try:
        assert server.url.startswith("http://127.0.0.1:")
        assert server.token.reveal() not in pretty_repr(vars(server))
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{server.url}/models")).status_code == 401
            key = {"Authorization": f"Bearer {server.token.reveal()}"}
            listed = (await client.get(f"{server.url}/models", headers=key)).json()
        assert listed["data"][0]["id"] == "memscope-demo"
    finally:
        await server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


async def test_a_child_in_the_background_yields_to_other_processes() -> None:
    server = await EmbeddedServer.start(None, in_background=True)
    try:
        threads = [int(thread.name) for thread in Path(f"/proc/{server.pid}/task").iterdir()]
        assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {10}
    finally:
        await server.stop()


async def test_an_invalid_model_shows_the_childs_error(tmp_path: Path) -> None:
    with pytest.raises(ScorerGoneError, match=r"did not start: .*config\.json"):
        await EmbeddedServer.start(str(tmp_path))


def test_a_child_ends_when_its_parent_is_killed() -> None:
    program = (
        "import asyncio\nfrom memscope.engines.child import EmbeddedServer\n"
        "async def main():\n    server = await EmbeddedServer.start(None)\n    print(server.pid, flush=True)\n"
        "    await asyncio.sleep(600)\nasyncio.run(main())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    ended = os.pidfd_open(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    import select

    assert select.select([ended], [], [], 20)[0], "the child outlived its parent"
    os.close(ended)
