"""Checks made before every request: host, bearer token, size of the body, and requests by web pages."""

from __future__ import annotations

import hmac
import ipaddress

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from memscope.server.errors import ApiError, error_response

__all__ = ["Guard", "read_body"]

_OPEN_PATHS = {"/health"}


class Guard:
    """Rejects requests without the token, with a foreign `Host`, and from web pages if no token is set.

    A page in the user's browser can post to loopback. It cannot omit `Origin`, so without a token, requests that have
    one are rejected. A page whose host name was made to resolve to loopback (DNS rebinding) has the same origin and
    sends its own name as `Host`, so only loopback names and the server's own address are accepted.
    A server on a network address can be reached under any name of that network; it always requires a token.
    """

    def __init__(self, app: ASGIApp, api_key: str | None, host: str) -> None:
        self._app = app
        self._expected = None if api_key is None else f"Bearer {api_key}".encode()
        self._host = host if _is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and forward it."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await error_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        host = _without_port(headers.get("host", ""))
        if self._host is not None and host != self._host and not _is_loopback(host):
            return ApiError(421, f"this server does not answer for the host {host!r}; use its loopback address")
        if self._expected is None:
            return ApiError(403, "requests from web pages are refused") if "origin" in headers else None
        given = headers.get("authorization", "").encode("latin-1")
        if scope["path"] in _OPEN_PATHS or hmac.compare_digest(given, self._expected):
            return None
        return ApiError(401, "unauthorised: send the API key as `Authorization: Bearer …`")


def _without_port(host: str) -> str:
    name, bracket, _ = host.rpartition("]")
    return name.removeprefix("[") if bracket else host.split(":")[0]


def _is_loopback(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.split("%")[0]).is_loopback
    except ValueError:
        return False


async def read_body(request: Request, limit: int) -> bytes:
    """Read a request's body.

    Raises:
        ApiError: It is longer than `limit` bytes (413).
    """
    too_large = ApiError(413, f"the body is larger than {limit} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise too_large
    return bytes(body)
