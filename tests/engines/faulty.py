"""Servers with faults, on real sockets: one that answers whatever it is told, and one between memscope and a scorer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.conftest import ScorerAddress

__all__ = ["Asked", "answer", "between", "serving"]


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its decoded body."""
        return json.loads(self.body) if self.body else None


Handler = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
Lie = Callable[[Asked, Any], Any]


@contextlib.asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[str]:
    """Serve on a free port of loopback and give the base address; one request a connection."""

    answering: set[asyncio.Task[None]] = set()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            try:
                await handle(await _read(reader), writer)
                await writer.drain()
            finally:
                writer.close()
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(respond(reader, writer))
        answering.add(task)
        task.add_done_callback(answering.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


def answer(writer: asyncio.StreamWriter, content: Any, status: int = 200, **headers: str) -> None:
    """Write a whole response; what is not bytes becomes JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {"Content-Length": str(len(body)), "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items())
    writer.write(head.encode() + b"\r\n" + body)


@contextlib.asynccontextmanager
async def between(scorer: ScorerAddress, lie: Lie) -> AsyncIterator[str]:
    """Pass requests on to a real scorer and give what `lie` makes of its answers.

    Args:
        scorer: Who is asked.
        lie: Takes the request and the answer, decoded unless it is a stream, and returns another; an int becomes an
            error status, bytes are sent as they are.
    """
    key = {"Authorization": f"Bearer {scorer.token}"}
    async with httpx.AsyncClient(base_url=scorer.url.removesuffix("/v1"), headers=key, timeout=60) as client:

        async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
            real = await client.request(asked.method, asked.path, content=asked.body)
            if not real.is_success:
                answer(writer, real.content, real.status_code)
                return
            streamed = real.headers["Content-Type"].startswith("text/event-stream")
            told = lie(asked, real.content if streamed else real.json())
            if isinstance(told, int):
                answer(writer, {"error": {"message": "no such thing"}}, told)
            else:
                answer(writer, told)

        async with serving(handle) as url:
            yield url


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, path, headers, body)
