"""HTTP requests to a scorer: timeouts, retries, and error handling.

The retry policy: 429 and 503 are retried after the delay that the server requests, a broken connection only if the
server's health endpoint responds, and nothing else is retried. Redirects are never followed, since the API key must be
sent only to the server that the user chose.
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
"""Timeout of the first call, and how long to wait for a server that is still loading its model."""

_CONNECT_SECONDS = 5.0
_MIN_SECONDS = 60.0
_MAX_SECONDS = 300.0
_TIMED_BYTES = 2_000
"""Minimum size in bytes of requests whose duration is used to estimate the timeout of later ones."""

_TRIES = 3
_LONGEST_PAUSE_SECONDS = 30.0
_LINE_BYTES = 2**22
"""Maximum length of a line of a stream."""
_JSON = {"Content-Type": "application/json"}
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class RefusedError(ScorerError):
    """The server returned an error status; retrying would not help."""

    def __init__(self, message: str, status: int, text: str) -> None:
        """Store the status and the server's message in addition to the message for the user."""
        super().__init__(message)
        self.status = status
        self.text = text


class NotSentError(ScorerGoneError):
    """The connection failed: nothing reached the server."""


class AnswerLostError(ScorerGoneError):
    """The request may have reached the server, but the response was lost."""


class TimedOutError(ScorerError):
    """The server exceeded the time limit."""


class Transport:
    """Sends requests to one server. Cancelling a request closes its connection, so that the server stops computing.

    Attributes:
        root: The server's URL without `/v1` and without a password.
        api_key: The bearer token; None if there is none.
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
        """Create a transport; nothing is sent yet.

        Args:
            url: The base URL, with or without `/v1`; a user name and password in it are sent as basic
                authentication instead of the API key.
            api_key: The bearer token.
            patient: Set no timeout on POST: for our own child process, whose exit closes the connection.
            http: Replaces the real network, for fault injection in tests.
            sleep: Waits between retries.
        """
        address = parse_address(url)
        self.root = address.root
        self.api_key = api_key
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
            path: Path below the server's root.
            seconds: The timeout.
            kind: The expected type of the body.
            expected: Description of the expected body, for the error message.

        Raises:
            UnreadableAnswerError: The body is not as expected.
            ScorerError: As for `post`.
        """
        return decode_json(await self._exchange("GET", path, seconds=seconds), kind, f"{self.root}{path}: {expected}")

    async def post(self, path: str, payload: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> bytes:
        """POST JSON and return the body of a 2xx response.

        Raises:
            RefusedError: The server returned an error status that retrying does not fix.
            TimedOutError: No complete response within three times the duration of calls of that size (60 to 300 s;
                120 s for the first call).
            UnreadableAnswerError: The response is too large, or cannot be decompressed.
            ScorerGoneError: The server no longer responds.
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
        """POST JSON that must not be sent twice, and return the body of a 2xx response.

        It is retried only after a response that says that nothing was accepted (429, 503).

        Raises:
            NotSentError: Nothing reached the server.
            AnswerLostError: It is unknown whether the server accepted it.
            RefusedError: The server returned an error status.
        """
        content = msgspec.json.encode(payload)
        return await self._exchange("POST", path, content, seconds=_MAX_SECONDS, headers=headers, once=True)

    async def stream(self, path: str, payload: Mapping[str, Any], *, seconds: float) -> AsyncIterator[bytes]:
        """POST JSON and yield the lines of a 2xx response as they arrive, for server-sent events.

        Args:
            path: Path below the server's root.
            payload: The body.
            seconds: Timeout of the whole stream; the server may pause for at most 300 s.

        Raises:
            RefusedError: The server returned an error status.
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
                # Not one timeout around the loop: it would include, and interrupt, the caller's work on a line.
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
        """Return whether the server's health endpoint responds now."""
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
        self._longest = max(self._longest, length)  # a short request may be queued behind a long one
        return min(max(self._least, 3 * self._pace * self._longest), _MAX_SECONDS)

    def _record_duration(self, seconds: float, length: int) -> None:
        if length < _TIMED_BYTES:
            return  # the duration of a small probe is not representative
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
        """Open a response; read it inside the context, so that one timeout covers everything."""
        named = {**(_JSON if content is not None else {}), **headers}
        async with (
            asyncio.timeout(seconds),
            self._client.stream(method, path, content=content, timeout=_steps(seconds), headers=named) as answer,
        ):
            yield answer

    def _failure(self, error: Exception, path: str, seconds: float | None, *, once: bool) -> ScorerError:
        """Return the error for a failed request: the server is gone, too slow, or sent an unusable response."""
        if isinstance(error, _NO_CONNECTION):
            return NotSentError(str(self._gone(error)))
        if once:
            return AnswerLostError(f"{self.root}{path}: the response was lost ({_why(error)})")
        if isinstance(error, UnreadableAnswerError):
            return error
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            return TimedOutError(f"{self.root}{path}: no complete response within {seconds:.0f} s")
        return self._gone(error)

    def _closed(self, error: RuntimeError) -> Exception:
        """Return a ScorerGoneError if the client was closed during a request, or else the original error."""
        return ScorerGoneError(f"{self.root}: the connection was closed") if self._client.is_closed else error

    def _gone(self, error: Exception) -> ScorerGoneError:
        why = _why(error)
        if isinstance(error, httpx.RemoteProtocolError) and why.startswith("illegal"):
            return ScorerGoneError(f"{self.root}: the server does not speak HTTP")
        return ScorerGoneError(f"{self.root}: no scorer responds ({why})")

    def _refusal(self, answer: httpx.Response, body: bytes, path: str) -> ScorerError:
        text = error_text(body, answer.status_code)
        line = f"{self.root}{path}: {answer.status_code} {text}"
        if answer.status_code >= 500 and "EngineCore" in text:
            return ScorerGoneError(f"{line}; the server's engine died, restart it")
        if answer.status_code in (401, 403):
            line += "; set the right API key in the variable that --api-key-env names"
        if answer.is_redirect:
            line += f"; it redirects to {_host(answer)}, which is not followed: set the final address with --url"
        return RefusedError(line, answer.status_code, text)


class _Credentials(httpx.Auth):
    """Adds the credentials when a request is sent, so that they are stored nowhere else as text."""

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
    """Return the timeouts of the phases of a request; connecting has a short one of its own."""
    return httpx.Timeout(seconds, connect=_CONNECT_SECONDS)


async def _next_piece(pieces: AsyncIterator[bytes], deadline: float | None) -> bytes | None:
    async with asyncio.timeout_at(deadline):
        return await anext(pieces, None)


def _is_transient(error: Exception) -> bool:
    """Return whether a retry may succeed: the connection was broken or refused, but nothing timed out."""
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
