"""The proxy's HTTP client, which sends requests exactly as they are made."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx

__all__ = ["UpstreamClient"]

_IDLE_SECONDS = 4.0  # many servers close idle connections after 5 s, and one must not be reused at that moment
_CONNECTIONS = 20


@dataclass
class _Pool:
    client: httpx.AsyncClient
    in_flight: int = 0


class UpstreamClient:
    """Sends requests over as many connections as it takes, and waits as long as its own client does.

    It uses the HTTP proxy and the certificates that the environment names, as the agent's client would. httpx compares
    all connections of a pool with each other for every request, so each pool has few, and a new one is made when those
    before it are busy: 200 streams at once took five times as long from one pool.
    """

    def __init__(self) -> None:
        self._certificates: ssl.SSLContext = httpx.create_ssl_context()
        self._pools: list[_Pool] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> UpstreamClient:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self._stack.aclose()

    @asynccontextmanager
    async def stream(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """Send a request; the response's body is read by the caller.

        Raises:
            httpx.HTTPError: There is no response.
        """
        pool = await self._free_pool()
        pool.in_flight += 1
        try:
            response = await pool.client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
                # Its stream refers back to it, which would keep the request's body until the next garbage collection.
                response.stream = httpx.ByteStream(b"")
        finally:
            pool.in_flight -= 1

    async def _free_pool(self) -> _Pool:
        for pool in self._pools:
            if pool.in_flight < _CONNECTIONS:
                return pool
        client = httpx.AsyncClient(
            verify=self._certificates,
            timeout=None,  # noqa: S113 - the agent's client has its own
            limits=httpx.Limits(keepalive_expiry=_IDLE_SECONDS),
        )
        self._pools.append(_Pool(await self._stack.enter_async_context(client)))
        return self._pools[-1]
