"""Serve the proxy on loopback, and end without losing what is in flight.

uvicorn's connections are used without its server, which looks for the end every 0.1 s and handles signals itself:
`memscope record` ends when its command does, and passes signals on.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from memscope.errors import RecordError
from memscope.record.incoming import RESET

__all__ = ["Serving", "listen", "serve"]

_BACKLOG = 1024
_IDLE_SECONDS = 75  # longer than clients keep idle connections, so that none is closed while being reused
_HEADER_BYTES = 1 << 18


def listen(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1; 0 takes any free one.

    Raises:
        RecordError: The port is taken or not allowed.
    """
    # asyncio sends at once only on sockets that name their protocol: else small writes wait 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or error
        raise RecordError(f"cannot listen on port {port}: {reason}; choose another with --port") from None
    return listener


class Serving:
    """The connections of a proxy that is being served. Created by `serve`."""

    def __init__(self, server: asyncio.Server, state: ServerState, closed: asyncio.Event) -> None:
        self._server = server
        self._state = state
        self._closed = closed

    @property
    def in_flight(self) -> int:
        """How many requests have no complete response yet."""
        return len(self._state.tasks)

    async def drain(self) -> None:
        """Accept no more connections and wait until the responses in flight are complete."""
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.connections:
            await self._closed.wait()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks))

    def cut(self) -> None:
        """End the responses in flight; `drain` then returns."""
        for task in set(self._state.tasks):
            task.cancel()
        for connection in list(self._state.connections):
            connection.transport.close()


def _reset(transport: asyncio.Transport) -> None:
    """Close a connection so that the client gets an error, after what has been written."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.close()


@asynccontextmanager
async def serve(app: ASGIApp, listener: socket.socket) -> AsyncIterator[Serving]:
    """Serve an application on a socket that listens, until the context ends; what is in flight then is cut."""
    state, closed = ServerState(), asyncio.Event()
    # Errors are reported by the application, and a traceback would show what a request held.
    config = uvicorn.Config(
        app,
        http=H11Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )

    class Connection(H11Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if not self.connections:
                closed.set()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            closed.clear()
            super().connection_made(transport)
            self.app_state = {RESET: functools.partial(_reset, transport)}

    def connect() -> asyncio.Protocol:
        return Connection(config, state, {})

    server = await asyncio.get_running_loop().create_server(connect, sock=listener, backlog=_BACKLOG)
    serving = Serving(server, state, closed)
    try:
        yield serving
    finally:
        serving.cut()
        with contextlib.suppress(asyncio.CancelledError):
            await serving.drain()
