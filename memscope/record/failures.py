"""What the client receives when the upstream gives no response."""

from __future__ import annotations

import os
import socket
import ssl

import httpx
import msgspec

__all__ = ["describe_failure", "error_body"]


def describe_failure(url: httpx.URL, error: httpx.HTTPError) -> str:
    """Return one line that names the server and says why it gave no response.

    It names neither user nor password, path or query of the URL.
    """
    server = f"{url.scheme}://{url.netloc.decode('ascii')}"
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return f"memscope record: cannot connect to {server}: {_cause(error)}"
    if isinstance(error, httpx.RemoteProtocolError) and "disconnected" in str(error):
        return f"memscope record: {server} closed the connection without a response"
    return f"memscope record: no response from {server}: {_cause(error)}"


def error_body(message: str) -> bytes:
    """Return the JSON body of an error, in the shape that clients of both OpenAI and Anthropic read."""
    error = {"message": message, "type": "api_error", "param": None, "code": "memscope_record"}
    return msgspec.json.encode({"type": "error", "error": error})


def _cause(error: BaseException) -> str:
    """Return what the operating system said, which the messages of the HTTP client and of asyncio leave out."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, BaseExceptionGroup):
            seen = seen.exceptions[0]
        elif isinstance(seen, OSError) and seen.errno:
            library = isinstance(seen, ssl.SSLError | socket.gaierror)  # their numbers are not the system's
            return str(seen.strerror) if library else os.strerror(seen.errno)
        else:
            seen = seen.__cause__ or seen.__context__
    return str(error) or type(error).__name__
