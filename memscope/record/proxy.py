"""The proxy: an ASGI application that forwards each request, and hands the calls among them to the recording.

What the upstream answers reaches the client as it came, chunk by chunk. Bodies of calls are read whole before they are
forwarded, since marks may be anywhere in them; all others are passed on as they arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
from starlette.types import Receive, Scope, Send

from memscope.record.call_api import CallApi, api_for, counts_tokens
from memscope.record.client import UpstreamClient
from memscope.record.exchange import Exchange
from memscope.record.failures import describe_failure, error_body
from memscope.record.finisher import Finisher
from memscope.record.http_headers import Fields, readable_encodings, request_fields, response_fields
from memscope.record.incoming import DisconnectedError, Incoming
from memscope.record.marks import without_marks_encoded
from memscope.record.upstream import Upstream, is_anthropic
from memscope.record.writer import RecordingWriter

__all__ = ["Proxy"]

_LARGE_BYTES = 1 << 18


class Proxy:
    """Forwards requests to the upstream servers and records the calls.

    Attributes:
        requests: How many requests came, calls and others.
    """

    def __init__(
        self,
        upstream: Upstream,
        client: UpstreamClient,
        writer: RecordingWriter,
        report: Callable[[str], None],
    ) -> None:
        """Make the application.

        Args:
            upstream: Where requests are forwarded.
            client: What sends them; the caller closes it.
            writer: The recording; the caller closes it.
            report: Called with one line when a call could not be recorded or forwarded.
        """
        self.requests = 0
        self._upstream = upstream
        self._client = client
        self._writer = writer
        self._report = report
        self._finisher = Finisher(report)

    def finish(self) -> None:
        """Wait until every call that has ended is written. Blocks; call it after the last request."""
        self._finisher.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one request.

        A response that the upstream cuts is left incomplete; the server then closes the client's connection too.
        """
        self.requests += 1
        incoming = Incoming(scope, receive)
        if refusal := incoming.refusal():
            await _send_error(send, *refusal)
            return
        call = api_for(incoming.method, incoming.path.decode("latin-1"))
        try:
            if call is None:
                await self._pass_through(incoming, send)
            else:
                await self._record(call, incoming, send)
        except DisconnectedError:
            return
        except Exception as error:
            self._report(f"a request could not be forwarded ({type(error).__name__})")
            raise

    async def _pass_through(self, incoming: Incoming, send: Send) -> None:
        if counts_tokens(incoming.method, incoming.path.decode("latin-1")):
            request = await self._unmarked_request(incoming, incoming.fields, await incoming.whole())
        else:
            body = _Chunks(incoming.chunks())
            request = self._request(incoming, incoming.fields, incoming.length_fields(), body)
        await incoming.unless_disconnected(_Response(self._client, incoming, send).relay(request))

    async def _record(self, call: CallApi, incoming: Incoming, send: Send) -> None:
        body = await incoming.whole()
        encoding = incoming.header(b"content-encoding")
        exchange = Exchange(call, body, self._writer, content_encoding=encoding)
        response = _Response(self._client, incoming, send, exchange)
        try:
            request = await self._unmarked_request(incoming, readable_encodings(incoming.fields), body)
            await incoming.unless_disconnected(response.relay(request))
        finally:
            self._finisher.finish(
                exchange, response.status, complete=response.complete, content_encoding=response.encoding
            )

    async def _unmarked_request(self, incoming: Incoming, fields: Fields, body: bytes) -> httpx.Request:
        """Return a request whose body was read whole, without its marks."""
        forwarded = await _without_marks(body, incoming.header(b"content-encoding"))
        length = [(b"content-length", b"%d" % len(forwarded))] if incoming.has_body else []
        return self._request(incoming, fields, length, httpx.ByteStream(forwarded))

    def _request(
        self, incoming: Incoming, fields: Fields, length: Fields, body: httpx.AsyncByteStream
    ) -> httpx.Request:
        anthropic = is_anthropic(incoming.path, dict(incoming.fields))
        url = httpx.URL(self._upstream.url(incoming.path, anthropic=anthropic) + incoming.query)
        return httpx.Request(incoming.method, url, headers=request_fields(fields, url.netloc) + length, stream=body)


class _Response:
    """The upstream's response to one request, on its way to the client.

    Attributes:
        status: Its status; None if there is none.
        encoding: Its content encoding.
        complete: Whether all of it arrived.
    """

    def __init__(
        self, client: UpstreamClient, incoming: Incoming, send: Send, exchange: Exchange | None = None
    ) -> None:
        self.status: int | None = None
        self.encoding = ""
        self.complete = False
        self._client = client
        self._incoming = incoming
        self._send = send
        self._exchange = exchange

    async def relay(self, request: httpx.Request) -> None:
        """Send a request upstream and the response to the client."""
        try:
            async with self._client.stream(request) as response:
                await self._start(response)
                await self._pass_on(response)
        except httpx.HTTPError as error:
            if self.status is None:
                await _send_error(self._send, 502, describe_failure(request.url, error))
            else:
                self._incoming.cut()
            return
        # The connection is back in the pool by now; the client may disconnect as soon as it has this.
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _start(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.encoding = response.headers.get("content-encoding", "")
        fields = response_fields(response.headers.raw)
        await self._send({"type": "http.response.start", "status": self.status, "headers": fields})

    async def _pass_on(self, response: httpx.Response) -> None:
        async for data in response.aiter_raw():
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            if self._exchange is not None:
                self._exchange.chunk(data)
        self.complete = True


class _Chunks(httpx.AsyncByteStream):
    """A request body that is passed on as it arrives."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._chunks:
            yield data


async def _without_marks(body: bytes, encoding: str) -> bytes:
    if len(body) < _LARGE_BYTES:
        return without_marks_encoded(body, encoding)
    return await asyncio.to_thread(without_marks_encoded, body, encoding)


async def _send_error(send: Send, status: int, message: str) -> None:
    body = error_body(message)
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body, "more_body": False})
