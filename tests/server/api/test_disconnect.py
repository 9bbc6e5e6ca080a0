"""A client that leaves takes its work with it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from memscope.server.api.app import create_app
from memscope.server.compute.sampling import Sampler
from memscope.server.compute.worker import Steps
from memscope.server.runtime import Runtime

pytestmark = pytest.mark.anyio


class _Client:
    """An ASGI client that sends a request and may leave at any time."""

    def __init__(self, path: str, body: Any) -> None:
        self.left = asyncio.Event()
        self.heard = asyncio.Event()
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        self._unsent = [{"type": "http.request", "body": msgspec.json.encode(body), "more_body": False}]

    async def receive(self) -> dict[str, Any]:
        if self._unsent:
            return self._unsent.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            self.heard.set()


@pytest.fixture
async def blocked(bundled_runtime: Runtime, anyio_backend: str) -> AsyncIterator[threading.Event]:
    """Keep the worker busy in the lane of scores until the event is set."""
    release, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def steps() -> Steps[None]:
        loop.call_soon_threadsafe(begun.set)
        release.wait(20)
        yield

    busy = asyncio.ensure_future(bundled_runtime.worker.run(steps, lane="score", priority=0))
    await begun.wait()
    yield release
    release.set()
    await busy


async def test_a_waiting_score_is_dropped(bundled_runtime: Runtime, blocked: threading.Event) -> None:
    client = _Client("/v1/score", {"prompt": [5, 6, 7], "score_ranges": [[1, 3]]})
    handled = asyncio.ensure_future(create_app(bundled_runtime)(client.scope, client.receive, client.send))
    await asyncio.sleep(0)
    assert not handled.done()
    client.left.set()
    await handled
    assert not blocked.is_set(), "the answer did not wait for the worker"


@pytest.mark.parametrize(
    ("path", "prompt"),
    [
        ("/v1/completions", {"prompt": [50, 51]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    ],
)
async def test_a_stream_stops_generating(
    bundled_runtime: Runtime, monkeypatch: pytest.MonkeyPatch, path: str, prompt: dict[str, Any]
) -> None:
    drawn = []

    def draw_the_same(_sampler: Sampler, _logits: Any) -> int:
        drawn.append(1)
        return 50  # not an end token

    monkeypatch.setattr(Sampler, "draw", draw_the_same)
    client = _Client(path, prompt | {"max_tokens": 8000, "stream": True})
    handled = asyncio.ensure_future(create_app(bundled_runtime)(client.scope, client.receive, client.send))
    await client.heard.wait()
    client.left.set()
    await handled

    def nothing() -> Steps[str]:
        yield
        return "next"

    assert await bundled_runtime.worker.run(nothing, lane="generate", priority=0) == "next"
    assert len(drawn) < 8000
