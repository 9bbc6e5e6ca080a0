"""Which header fields a proxy passes on: all but those that concern one connection only (RFC 9110, 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["Fields", "readable_encodings", "request_fields", "response_fields"]

Fields = list[tuple[bytes, bytes]]
"""Header fields in the order sent; a name may occur several times."""

_ONE_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_READABLE = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})


def request_fields(fields: Iterable[tuple[bytes, bytes]], host: bytes) -> Fields:
    """Return the fields of a request as they go upstream; those of its body's length are left to the caller.

    `Expect` is left out too: by the time that the body is read, the client has been told to continue.
    """
    passed = _end_to_end(fields)
    kept = [(name, value) for name, value in passed if name not in (b"host", b"content-length", b"expect")]
    return [(b"host", host), *kept]


def response_fields(fields: Sequence[tuple[bytes, bytes]]) -> Fields:
    """Return the fields of a response as they go to the client, with the case of their names."""
    passed = _end_to_end(fields)
    if any(name.lower() == b"transfer-encoding" for name, _ in fields):
        return [(name, value) for name, value in passed if name.lower() != b"content-length"]  # it has no meaning then
    return passed


def readable_encodings(fields: Fields) -> Fields:
    """Return a request's fields so that the response can be decoded for the recording.

    Of the encodings that the client accepts, those remain that the standard library decodes. The client decodes what
    it is sent, so it receives the same text.
    """
    return [(name, _readable(value) if name == b"accept-encoding" else value) for name, value in fields]


def _readable(value: bytes) -> bytes:
    codings = [coding.strip() for coding in value.split(b",")]
    kept = [coding for coding in codings if coding.partition(b";")[0].strip().lower() in _READABLE]
    return b", ".join(kept) or b"identity"


def _end_to_end(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    listed = [(name.lower(), name, value) for name, value in fields]
    options = (value.lower().split(b",") for name, _, value in listed if name == b"connection")
    dropped = _ONE_CONNECTION.union(option.strip() for named in options for option in named)
    return [(name, value) for lower, name, value in listed if lower not in dropped]
