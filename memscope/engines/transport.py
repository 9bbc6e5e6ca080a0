"""HTTP to a scorer: time limits, retries, and one reading of every shape of error body.

What is tried again and what is not lives here: 429 and 503 wait as the server asks, a cut connection is tried again
only when the server's health answers, everything else is final at once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from memscope.errors import ScorerError, ScorerGoneError, UsageError

__all__ = [
    "AnswerLostError",
    "NotSentError",
    "RefusedError",
    "TimedOutError",
    "Transport",
    "error_text",
    "is_loopback",
    "server_root",
]

_CONNECT_SECONDS = 5.0
_FIRST_CALL_SECONDS = 120.0
_LEAST_SECONDS = 60.0
_MOST_SECONDS = 300.0
_TELLING_BYTES = 2_000
"""Requests from this size on tell how long the next one may take, in seconds a byte."""

_TRIES = 3
_LONGEST_PAUSE_SECONDS = 30.0


class RefusedError(ScorerError):
    """The server answered with an error status; trying the same again would not help."""

    def __init__(self, message: str, status: int, text: str) -> None:
        """Keep the status and the server's own words beside the line for the user."""
        super().__init__(message)
        self.status = status
        self.text = text


class NotSentError(ScorerGoneError):
    """No connection could be made: nothing reached the server."""


class AnswerLostError(ScorerGoneError):
    """The request may have reached the server, but its answer did not come back."""


class TimedOutError(ScorerError):
    """The server took longer than it was given."""


def server_root(url: str) -> str:
    """Return the address without its `/v1` and without a trailing slash.

    Raises:
        UsageError: It is not an http(s) address.
    """
    wrong = UsageError(f"scorer {url!r}: expected an address such as http://host:8000/v1")
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and bool(httpx.URL(url).host)
    except (ValueError, httpx.InvalidURL) as error:
        raise wrong from error
    if parts.scheme not in ("http", "https") or not usable or parts.query or parts.fragment:
        raise wrong
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether an address stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def error_text(body: bytes, status: int) -> str:
    """Return the server's own words from any of the error bodies in use, on one line."""
    try:
        value: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = body.decode("utf-8", "replace")
    for name in ("error", "detail", "message"):
        while isinstance(value, dict) and name in value:
            value = value[name]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode("utf-8", "replace")
    return " ".join(text.split())[:300] or httpx.codes.get_reason_phrase(status)


class Transport:
    """Requests to one server. Closing a request's task closes its connection, which makes servers stop computing."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        http: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare to speak to a server; nothing is sent yet.

        Args:
            url: Its base address, with or without `/v1`.
            api_key: Sent as a bearer token.
            http: In place of a real network, for faults in tests.
            sleep: Waits between tries.
        """
        self.root = server_root(url)
        self._sleep = sleep
        self._pace: float | None = None
        self._least = _LEAST_SECONDS
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.AsyncClient(
            base_url=self.root,
            headers=headers,
            transport=http,
            trust_env=not is_loopback(self.root),
            limits=httpx.Limits(max_connections=32),
        )

    async def get(self, path: str, *, seconds: float = 10.0) -> Any:
        """GET a path and return its decoded JSON; errors as in `post`."""
        return _decoded(await self._send("GET", path, None, seconds, {}), self.root + path)

    async def post(self, path: str, payload: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> bytes:
        """POST JSON and return the body of a 2xx answer.

        Raises:
            RefusedError: An error status that trying again does not mend.
            TimedOutError: No answer within three times what calls of that size took (60 to 300 s; 120 s at first).
            ScorerGoneError: Nothing answers at the address any more.
        """
        content = msgspec.json.encode(payload)
        patience, began = self._patience(len(content)), time.monotonic()
        try:
            body = await self._send("POST", path, content, patience, headers or {})
        except TimedOutError:
            self._least = min(2 * patience, _MOST_SECONDS)
            raise
        self._learn(time.monotonic() - began, len(content))
        return body

    async def post_once(self, path: str, payload: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
        """POST JSON whose repetition would matter, and return the body of a 2xx answer.

        Only an answer that says that nothing was taken (429, 503) is followed by another try.

        Raises:
            NotSentError: Nothing reached the server.
            AnswerLostError: Nobody knows whether the server took it.
            RefusedError: An error status.
        """
        content, json_type = msgspec.json.encode(payload), {"Content-Type": "application/json"}
        timeout = httpx.Timeout(_MOST_SECONDS, connect=_CONNECT_SECONDS)
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                answer = await self._client.post(
                    path, content=content, timeout=timeout, headers={**json_type, **headers}
                )
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as error:
                raise NotSentError(str(self._gone(error))) from error
            except RuntimeError as error:
                raise self._closed(error) from error
            except httpx.RequestError as error:
                why = str(error) or type(error).__name__
                raise AnswerLostError(f"{self.root}{path}: the answer was lost ({why})") from error
            if answer.is_success:
                return answer.content
            if last or answer.status_code not in (429, 503):
                raise self._refusal(answer, path)
            await self._sleep(_pause(answer))
        raise AssertionError("unreachable")

    def stream(self, path: str, payload: Mapping[str, Any]) -> Any:
        """POST JSON and give the open response as an async context manager, for server-sent events."""
        timeout = httpx.Timeout(_MOST_SECONDS, connect=_CONNECT_SECONDS)
        return self._client.stream("POST", path, json=payload, timeout=timeout)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def alive(self) -> bool:
        """Whether the server's health answers now."""
        try:
            answer = await self._client.get("/health", timeout=_CONNECT_SECONDS)
        except httpx.HTTPError:
            return False
        return answer.status_code < 500

    def _patience(self, length: int) -> float:
        if self._pace is None:
            return max(_FIRST_CALL_SECONDS, self._least)
        return min(max(self._least, 3 * self._pace * length), _MOST_SECONDS)

    def _learn(self, seconds: float, length: int) -> None:
        if length < _TELLING_BYTES:
            return  # how long a probe takes says nothing of a whole session
        pace = seconds / length
        self._pace = pace if self._pace is None else 0.7 * self._pace + 0.3 * pace

    async def _send(
        self, method: str, path: str, content: bytes | None, seconds: float, headers: Mapping[str, str]
    ) -> bytes:
        timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
        json_type = {"Content-Type": "application/json"} if content is not None else {}
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                answer = await self._client.request(
                    method, path, content=content, timeout=timeout, headers={**json_type, **headers}
                )
            except httpx.TimeoutException as error:
                await self._explain_timeout(error, path, seconds)
            except httpx.DecodingError as error:
                raise ScorerError(f"{self.root}{path}: the answer cannot be read ({error})") from error
            except RuntimeError as error:
                raise self._closed(error) from error
            except httpx.TransportError as error:
                if last or not await self.alive():
                    raise self._gone(error) from error
            else:
                if answer.is_success:
                    return answer.content
                if last or answer.status_code not in (429, 503):
                    raise self._refusal(answer, path)
                await self._sleep(_pause(answer))
        raise AssertionError("unreachable")

    async def _explain_timeout(self, error: httpx.TimeoutException, path: str, seconds: float) -> None:
        if isinstance(error, httpx.ConnectTimeout):
            raise self._gone(error) from error
        raise TimedOutError(f"{self.root}{path}: no answer within {seconds:.0f} s") from error

    def _closed(self, error: RuntimeError) -> Exception:
        """Tell a client that was closed under a request, because its scorer was lost, from any other mistake."""
        return ScorerGoneError(f"{self.root}: the connection was closed") if self._client.is_closed else error

    def _gone(self, error: Exception) -> ScorerGoneError:
        why = str(error) or type(error).__name__
        if isinstance(error, httpx.RemoteProtocolError) and why.startswith("illegal"):
            return ScorerGoneError(f"{self.root}: what answers does not speak HTTP")
        return ScorerGoneError(f"{self.root}: no scorer answers ({why})")

    def _refusal(self, answer: httpx.Response, path: str) -> ScorerError:
        text = error_text(answer.content, answer.status_code)
        line = f"{self.root}{path}: {answer.status_code} {text}"
        if answer.status_code >= 500 and "EngineCore" in text:
            return ScorerGoneError(f"{line}; the server's engine died, restart it")
        if answer.status_code in (401, 403):
            line += "; set the API key in the variable that --api-key-env names"
        return RefusedError(line, answer.status_code, text)


def _decoded(body: bytes, place: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ScorerError(f"{place}: the answer is not JSON: {body[:80]!r}") from error


def _pause(answer: httpx.Response) -> float:
    try:
        asked = float(answer.headers.get("Retry-After", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.1), _LONGEST_PAUSE_SECONDS) * random.uniform(1.0, 1.25)
