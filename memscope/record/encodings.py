"""Decode the bodies of requests and responses, as far as the standard library goes: gzip and deflate."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

__all__ = ["BODY_LIMIT", "UnreadableError", "check_length", "decoded_body", "encoded_body"]

BODY_LIMIT = 128 * 2**20
"""Maximum length of a decoded body in bytes: a few bytes of gzip can stand for gigabytes."""

_GZIP = 31
_GZIP_MAGIC = b"\x1f\x8b"
_ZLIB = 15
_RAW = -15


class UnreadableError(Exception):
    """A body cannot be decoded; the message says why."""


def decoded_body(body: bytes, content_encoding: str) -> bytes:
    """Return a body without its content encoding; of a body that was cut short, as much as is there.

    Args:
        body: The body as it was sent.
        content_encoding: Its `Content-Encoding`; "" if it has none.

    Raises:
        UnreadableError: The encoding is unknown, the body does not have it, or it is too long.
    """
    for name in reversed(_names(content_encoding)):
        if name not in _DECODERS:
            raise UnreadableError(f"content encoding {name}")
        try:
            body = _DECODERS[name](body)
        except zlib.error as error:
            raise UnreadableError(f"damaged {name}") from error
        check_length(len(body))
    return body


def check_length(length: int) -> None:
    """Check that a body is not too long.

    Raises:
        UnreadableError: It is longer than `BODY_LIMIT`.
    """
    if length > BODY_LIMIT:
        raise UnreadableError(f"longer than {BODY_LIMIT // 2**20} MiB")


def encoded_body(body: bytes, content_encoding: str) -> bytes:
    """Return a body with a content encoding that `decoded_body` knows."""
    for name in _names(content_encoding):
        packer = zlib.compressobj(wbits=_GZIP if "gzip" in name else _ZLIB)
        body = packer.compress(body) + packer.flush()
    return body


def _names(content_encoding: str) -> list[str]:
    names = [name.strip().lower() for name in content_encoding.split(",")]
    return [name for name in names if name not in ("", "identity")]


def _gunzip(body: bytes) -> bytes:
    """Decode gzip: there may be several pieces one after the other, and padding after the last one."""
    if body and not body.startswith(_GZIP_MAGIC):
        raise UnreadableError("damaged gzip")
    made = b""
    while body.startswith(_GZIP_MAGIC):
        unpacker = zlib.decompressobj(wbits=_GZIP)
        made += unpacker.decompress(body, BODY_LIMIT + 1 - len(made))
        check_length(len(made))
        body = unpacker.unused_data
    return made


def _inflate(body: bytes) -> bytes:
    """Decode deflate, which some servers send without the header that belongs to it."""
    try:
        return zlib.decompressobj(wbits=_ZLIB).decompress(body, BODY_LIMIT + 1)
    except zlib.error:
        return zlib.decompressobj(wbits=_RAW).decompress(body, BODY_LIMIT + 1)


_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _inflate}
