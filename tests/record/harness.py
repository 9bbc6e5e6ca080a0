"""A proxy in a thread of this process, and upstream servers that answer with scripted bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from memscope.record.client import UpstreamClient
from memscope.record.proxy import Proxy
from memscope.record.serving import listen, serve
from memscope.record.upstream import choose_upstream
from memscope.record.writer import RecordingWriter

Answer = Callable[[socket.socket, bytes], None]
"""What a scripted upstream does with a connection and the request it has read from it."""

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class RunningProxy:
    """A proxy that is being served, with a recording of its own."""

    def __init__(self, upstream: str, folder: Path) -> None:
        self.path = folder / "run.jsonl"
        self.problems: list[str] = []
        self.port = 0
        self._upstream = choose_upstream(upstream, {})
        self._started = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Begin to end it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)

    def finish(self) -> list[dict[str, Any]]:
        """End it when all that is in flight is written, and return the lines of the recording."""
        self.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def calls(self) -> list[dict[str, Any]]:
        """End it and return the calls of the recording."""
        return [line for line in self.finish() if line["type"] == "call"]

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = listen(0)
        self.port = listener.getsockname()[1]
        writer = RecordingWriter(self.path, on_problem=self.problems.append)
        async with UpstreamClient() as client:
            proxy = Proxy(self._upstream, client, writer, self.problems.append)
            async with serve(proxy, listener) as serving:
                self._started.set()
                await self._stop.wait()
                await serving.drain()
            await asyncio.to_thread(proxy.finish)
        writer.close()


class ScriptedUpstream:
    """A TCP server that reads one HTTP request from each connection and answers with what the test scripts."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.left = threading.Event()
        """Set when a client has closed a connection."""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := read_request(connection):
                self.requests.append(request)
                self._answer(connection, request)
        self.left.set()


@contextmanager
def scripted(answer: bytes | Answer) -> Iterator[ScriptedUpstream]:
    """Run a scripted upstream; bytes are sent as they are."""

    def send(connection: socket.socket, _request: bytes) -> None:
        assert isinstance(answer, bytes)
        connection.sendall(answer)

    upstream = ScriptedUpstream(send if isinstance(answer, bytes) else answer)
    try:
        yield upstream
    finally:
        upstream.close()


def read_request(connection: socket.socket) -> bytes:
    """Read one request with its body, if it declares one; nothing at end of file."""
    read = b""
    while b"\r\n\r\n" not in read:
        if not (piece := connection.recv(65536)):
            return b""
        read += piece
    head, _, body = read.partition(b"\r\n\r\n")
    fields = header_fields(read)
    length = int(fields.get(b"content-length", 0))
    while not (body.endswith(b"0\r\n\r\n") if b"transfer-encoding" in fields else len(body) >= length):
        if not (piece := connection.recv(65536)):
            return b""
        body += piece
    return head + b"\r\n\r\n" + body


def header_fields(message: bytes) -> dict[bytes, bytes]:
    """Return the header fields of a raw message, with names in lower case."""
    lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}


def body_of(message: bytes) -> bytes:
    """Return the body of a raw message."""
    return message.partition(b"\r\n\r\n")[2]


def exchange_bytes(port: int, request: bytes) -> bytes:
    """Send raw bytes to a port and return what comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an ASGI application from a thread; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http="h11", log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
