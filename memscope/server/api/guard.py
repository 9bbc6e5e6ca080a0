"""What stands before every request: the bearer token, the size of the body, and pages of other sites."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from memscope.server.errors import ApiError, error_response

__all__ = ["Guard", "read_body"]

_OPEN_PATHS = {"/health"}


class Guard:
    """Refuses requests without the token; without any token, those that a web page makes.

    A page in the user's browser can post to loopback. It cannot forge the absence of `Origin`, so where no token
    protects the server, requests that carry one are refused.
    """

    def __init__(self, app: ASGIApp, api_key: str | None) -> None:
        self._app = app
        self._expected = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await error_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        if self._expected is None:
            return ApiError(403, "requests from web pages are refused") if "origin" in headers else None
        given = headers.get("authorization", "").encode("latin-1")
        if scope["path"] in _OPEN_PATHS or hmac.compare_digest(given, self._expected):
            return None
        return ApiError(401, "unauthorised: send the API key as `Authorization: Bearer …`")


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
