"""HTTP to a scorer: time limits, retries, and one reading of every shape of error body.

What is tried again and what is not lives here: 429 and 503 wait as the server asks, a cut connection is tried again
only when the server's health answers, everything else is final at once. Redirects are never followed: the key is for
the server that the user named.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Any

import httpx
import msgspec

from memscope.engines.address import is_loopback, parse_address
from memscope.engines.body_limit import ACCEPTED_ENCODING, limit_body
from memscope.engines.decoding import UnreadableAnswerError, decode_json, error_text
from memscope.errors import ScorerError, ScorerGoneError
from memscope.secret import Secret

__all__ = ["FIRST_CALL_SECONDS", "AnswerLostError", "NotSentError", "RefusedError", "TimedOutError", "Transport"]

FIRST_CALL_SECONDS = 120.0
"""How long the first call may take, and how long a server that is still loading its model is waited for."""

_CONNECT_SECONDS = 5.0
_MIN_SECONDS = 60.0
_MAX_SECONDS = 300.0
_TIMED_BYTES = 2_000
"""Requests from this size on tell how long the next one may take, in seconds a byte."""

_TRIES = 3
_LONGEST_PAUSE_SECONDS = 30.0
_LINE_BYTES = 2**22
"""The longest line of a stream."""
_JSON = {"Content-Type": "application/json"}
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


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


class Transport:
    """Requests to one server. Closing a request's task closes its connection, which makes servers stop computing.

    Attributes:
        root: The server's address without `/v1` and without a password.
    """

    def __init__(
        self,
        url: str,
        api_key: Secret | None = None,
        *,
        patient: bool = False,
        http: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare to speak to a server; nothing is sent yet.

        Args:
            url: Its base address, with or without `/v1`; a user name and password in it are sent as basic
                authentication, in place of the API key.
            api_key: Sent as a bearer token.
            patient: Set no time limit on a POST: for a process of our own, whose end closes the connection.
            http: In place of a real network, for faults in tests.
            sleep: Waits between tries.
        """
        address = parse_address(url)
        self.root = address.root
        self.sleep = sleep
        self._patient = patient
        self._pace: float | None = None
        self._least = _MIN_SECONDS
        self._longest = 0
        self._client = httpx.AsyncClient(
            base_url=self.root,
            auth=_Credentials(address.user, address.password or api_key),
            headers={"Accept-Encoding": ACCEPTED_ENCODING},
            transport=http,
            trust_env=not is_loopback(self.root),
            follow_redirects=False,
            limits=httpx.Limits(max_connections=32),
            event_hooks={"response": [limit_body]},
        )

    async def get(self, path: str, *, seconds: float = 10.0, kind: Any = Any, expected: str = "JSON") -> Any:
        """GET a path and return its decoded body.

        Args:
            path: Below the server's root.
            seconds: The time limit.
            kind: The type that the body must have.
            expected: What the body should be, for the error line.

        Raises:
            UnreadableAnswerError: The answer is not that.
            ScorerError: As for `post`.
        """
        return decode_json(await self._exchange("GET", path, seconds=seconds), kind, f"{self.root}{path}: {expected}")

    async def post(self, path: str, payload: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> bytes:
        """POST JSON and return the body of a 2xx answer.

        Raises:
            RefusedError: An error status that trying again does not mend.
            TimedOutError: No complete answer within three times what calls of that size took (60 to 300 s; 120 s at
                first).
            UnreadableAnswerError: The answer is too large, or cannot be decompressed.
            ScorerGoneError: Nothing answers at the address any more.
        """
        content = msgspec.json.encode(payload)
        limit, began = self._time_limit(len(content)), time.monotonic()
        try:
            body = await self._exchange("POST", path, content, seconds=limit, headers=headers)
        except TimedOutError:
            self._least = min(2 * (limit or _MAX_SECONDS), _MAX_SECONDS)
            raise
        self._record_duration(time.monotonic() - began, len(content))
        return body

    async def post_once(self, path: str, payload: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
        """POST JSON whose repetition would matter, and return the body of a 2xx answer.

        Only an answer that says that nothing was taken (429, 503) is followed by another try.

        Raises:
            NotSentError: Nothing reached the server.
            AnswerLostError: Nobody knows whether the server took it.
            RefusedError: An error status.
        """
        content = msgspec.json.encode(payload)
        return await self._exchange("POST", path, content, seconds=_MAX_SECONDS, headers=headers, once=True)

    async def stream(self, path: str, payload: Mapping[str, Any], *, seconds: float) -> AsyncIterator[bytes]:
        """POST JSON and yield the lines of a 2xx answer as they arrive, for server-sent events.

        Args:
            path: Below the server's root.
            payload: The body.
            seconds: How long the whole stream may take; the server may be silent for at most 300 s of it.

        Raises:
            RefusedError: An error status.
            TimedOutError: The stream took too long.
            UnreadableAnswerError: The stream is too long, or cannot be decompressed.
            ScorerGoneError: The connection broke.
        """
        total = None if self._patient else seconds
        deadline = None if total is None else asyncio.get_running_loop().time() + total
        request = self._client.build_request(
            "POST", path, content=msgspec.json.encode(payload), headers=_JSON, timeout=_steps(total and _MAX_SECONDS)
        )
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._client.send(request, stream=True)
            async with contextlib.aclosing(answer):
                async with asyncio.timeout_at(deadline):
                    if not answer.is_success:
                        raise self._refusal(answer, await answer.aread(), path)
                pieces, rest = answer.aiter_bytes(), b""
                # Not one limit around the loop: it would count, and interrupt, what the caller does with a line.
                while (piece := await _next_piece(pieces, deadline)) is not None:
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield line
                    if len(rest) > _LINE_BYTES:
                        raise UnreadableAnswerError(f"{self.root}{path}: a line of the stream does not end")
                yield rest
        except (TimeoutError, httpx.TimeoutException) as error:
            raise TimedOutError(f"{self.root}{path}: the stream did not end within {seconds:.0f} s") from error
        except httpx.RequestError as error:
            raise ScorerGoneError(f"{self.root}: the connection broke while generating ({_why(error)})") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def alive(self) -> bool:
        """Whether the server's health answers now."""
        try:
            async with self._open_response("GET", "/health", None, _CONNECT_SECONDS, {}) as answer:
                return answer.status_code < 500
        except (ScorerError, TimeoutError, httpx.HTTPError, RuntimeError):
            return False

    def _time_limit(self, length: int) -> float | None:
        if self._patient:
            return None
        if self._pace is None:
            return max(FIRST_CALL_SECONDS, self._least)
        self._longest = max(self._longest, length)  # a short request may have to wait for a long one
        return min(max(self._least, 3 * self._pace * self._longest), _MAX_SECONDS)

    def _record_duration(self, seconds: float, length: int) -> None:
        if length < _TIMED_BYTES:
            return  # how long a probe takes says nothing of a whole session
        pace = seconds / length
        self._pace = pace if self._pace is None else 0.7 * self._pace + 0.3 * pace

    async def _exchange(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        seconds: float | None,
        headers: Mapping[str, str] | None = None,
        once: bool = False,
    ) -> bytes:
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._open_response(method, path, content, seconds, headers or {}) as answer:
                    body = await answer.aread()
            except (TimeoutError, httpx.RequestError, UnreadableAnswerError) as error:
                again = tries_left and not once and _is_transient(error) and await self.alive()
                if not again:
                    raise self._failure(error, path, seconds, once=once) from error
            except RuntimeError as error:
                raise self._closed(error) from error
            else:
                if answer.is_success:
                    return body
                if not tries_left or answer.status_code not in (429, 503):
                    raise self._refusal(answer, body, path)
                await self.sleep(_pause(answer))
        raise AssertionError("unreachable")

    @contextlib.asynccontextmanager
    async def _open_response(
        self, method: str, path: str, content: bytes | None, seconds: float | None, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Open a response; reading it belongs inside, so that the time limit is one for everything."""
        named = {**(_JSON if content is not None else {}), **headers}
        async with (
            asyncio.timeout(seconds),
            self._client.stream(method, path, content=content, timeout=_steps(seconds), headers=named) as answer,
        ):
            yield answer

    def _failure(self, error: Exception, path: str, seconds: float | None, *, once: bool) -> ScorerError:
        """Return what a request's failure means: that the server is gone, was too slow, or sent something unusable."""
        if isinstance(error, _NO_CONNECTION):
            return NotSentError(str(self._gone(error)))
        if once:
            return AnswerLostError(f"{self.root}{path}: the answer was lost ({_why(error)})")
        if isinstance(error, UnreadableAnswerError):
            return error
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            return TimedOutError(f"{self.root}{path}: no complete answer within {seconds:.0f} s")
        return self._gone(error)

    def _closed(self, error: RuntimeError) -> Exception:
        """Tell a client that was closed under a request, because its scorer was lost, from any other mistake."""
        return ScorerGoneError(f"{self.root}: the connection was closed") if self._client.is_closed else error

    def _gone(self, error: Exception) -> ScorerGoneError:
        why = _why(error)
        if isinstance(error, httpx.RemoteProtocolError) and why.startswith("illegal"):
            return ScorerGoneError(f"{self.root}: what answers does not speak HTTP")
        return ScorerGoneError(f"{self.root}: no scorer answers ({why})")

    def _refusal(self, answer: httpx.Response, body: bytes, path: str) -> ScorerError:
        text = error_text(body, answer.status_code)
        line = f"{self.root}{path}: {answer.status_code} {text}"
        if answer.status_code >= 500 and "EngineCore" in text:
            return ScorerGoneError(f"{line}; the server's engine died, restart it")
        if answer.status_code in (401, 403):
            line += "; set the right API key in the variable that --api-key-env names"
        if answer.is_redirect:
            line += f"; it redirects to {_host(answer)}, which is not followed: give the final address with --url"
        return RefusedError(line, answer.status_code, text)


class _Credentials(httpx.Auth):
    """Writes the key into a request at the last moment, so that nothing else holds it as text."""

    def __init__(self, user: str | None, secret: Secret | None) -> None:
        self._user = user
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._user is not None:
            basic = httpx.BasicAuth(self._user, self._secret.reveal() if self._secret else "")
            yield from basic.auth_flow(request)
            return
        if self._secret is not None:
            request.headers["Authorization"] = f"Bearer {self._secret.reveal()}"
        yield request


def _steps(seconds: float | None) -> httpx.Timeout:
    """Return the limits on the steps of a request; a connection is made at once or not at all."""
    return httpx.Timeout(seconds, connect=_CONNECT_SECONDS)


async def _next_piece(pieces: AsyncIterator[bytes], deadline: float | None) -> bytes | None:
    async with asyncio.timeout_at(deadline):
        return await anext(pieces, None)


def _is_transient(error: Exception) -> bool:
    """Whether another try may succeed: a connection was cut or refused, and nobody ran out of time."""
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.TimeoutException)


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _host(answer: httpx.Response) -> str:
    with contextlib.suppress(httpx.InvalidURL, RuntimeError, UnicodeError):
        return answer.url.join(answer.headers.get("Location", "")).host
    return "another address"


def _pause(answer: httpx.Response) -> float:
    try:
        asked = float(answer.headers.get("Retry-After", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.1), _LONGEST_PAUSE_SECONDS) * random.uniform(1.0, 1.25)
