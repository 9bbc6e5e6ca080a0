"""A request as it arrives from the client: what is refused, its body, and whether the client is still there."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Coroutine
from urllib.parse import urlsplit

from starlette.types import Receive, Scope

from memscope.record.http_headers import Fields

__all__ = ["RESET", "DisconnectedError", "Incoming"]

RESET = "reset"
"""Key of the ASGI state whose function resets the client's connection."""

_HINT = "set OPENAI_BASE_URL or ANTHROPIC_BASE_URL to its address instead"


class DisconnectedError(Exception):
    """The client closed the connection before the end of its request."""


class Incoming:
    """One request.

    Attributes:
        method: Its method.
        path: Its path as sent, still percent-encoded, without the query.
        query: `?` and its query as sent, or nothing.
        fields: Its header fields, with names in lower case.
        has_body: Whether it announces a body, which may be empty.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        """Wrap an ASGI request whose body has not been read."""
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query: str = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        self.fields: Fields = list(scope["headers"])
        names = {name for name, _ in self.fields}
        self.has_body = b"content-length" in names or b"transfer-encoding" in names
        self._receive = receive
        self._scope = scope
        self._body_read = asyncio.Event()
        if not self.has_body:
            self._body_read.set()

    def header(self, name: bytes) -> str:
        """Return the value of a header field that occurs once; nothing if it is missing."""
        return dict(self.fields).get(name, b"").decode("latin-1")

    def refusal(self) -> tuple[int, str] | None:
        """Return the status and the reason if the request is not to be forwarded.

        Pages in a browser can send requests to loopback, and a page's own host name may be made to resolve to it, so
        only loopback names are accepted, both as the host and as the origin of a page.
        """
        if not self.path.startswith(b"/"):
            return 501, f"memscope record is not a general HTTP proxy; {_HINT}"
        if self.header(b"upgrade").lower() == "websocket":
            return 501, "memscope record cannot forward WebSocket connections; use the HTTP API"
        if (host := self.header(b"host")) and not _is_loopback(f"//{host}"):
            return 421, "memscope record only answers for loopback addresses; use http://127.0.0.1"
        if (origin := self.header(b"origin")) and not _is_local_origin(origin):
            return 403, "memscope record refuses requests from web pages of other hosts"
        return None

    def length_fields(self) -> Fields:
        """Return the header fields that announce the body's length, for passing it on as it arrives."""
        declared = [(name, value) for name, value in self.fields if name == b"content-length"]
        return declared or ([(b"transfer-encoding", b"chunked")] if self.has_body else [])

    def cut(self) -> None:
        """Let the client know that its response ends early, if an incomplete one does not show that.

        In HTTP/1.0 a response may end where the connection is closed, so the connection is reset instead.
        """
        if self._scope["http_version"] == "1.0":
            self._scope["state"][RESET]()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            DisconnectedError: The client closed the connection before its end.
        """
        try:
            more = self.has_body
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise DisconnectedError
                if data := message.get("body"):
                    yield data
                more = message.get("more_body", False)
        finally:
            self._body_read.set()

    async def whole(self) -> bytes:
        """Read the body.

        Raises:
            DisconnectedError: The client closed the connection before its end.
        """
        return b"".join([data async for data in self.chunks()])

    async def unless_disconnected(self, work: Coroutine[None, None, None]) -> None:
        """Do some work and cancel it if the client closes the connection; its cleanup is waited for."""
        working = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self._disconnected())
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            working.cancel()
            await asyncio.wait((working,))
            failure = None if working.cancelled() else working.exception()
        if failure is not None:
            raise failure

    async def _disconnected(self) -> None:
        await self._body_read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _is_local_origin(origin: str) -> bool:
    scheme = origin.partition(":")[0]
    return _is_loopback(origin) if scheme in ("http", "https") else origin != "null"


def _is_loopback(url: str) -> bool:
    try:
        name = (urlsplit(url).hostname or "").rstrip(".")
        return name == "localhost" or name.endswith(".localhost") or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
