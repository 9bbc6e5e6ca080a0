"""Limit the size of response bodies after decompression, while they are received.

httpx decompresses without a limit and through several layers, so a few kilobytes can fill the memory. Therefore only
one layer of gzip is requested and accepted, and decompressed in chunks of limited size.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from memscope.engines.decoding import UnreadableAnswerError

__all__ = ["ACCEPTED_ENCODING", "MAX_BYTES", "limit_body"]

ACCEPTED_ENCODING = "gzip"

MAX_BYTES = 256 * 2**20
"""Fifty times the size of the log-probabilities of 30,000 tokens, the largest expected response."""

_PIECE_BYTES = 2**18
_GZIP_WINDOW = 31


async def limit_body(answer: httpx.Response) -> None:
    """Make reading a response body raise before it exceeds `MAX_BYTES`; a response hook for httpx.

    Raises:
        UnreadableAnswerError: The declared length is larger, or the compression was not requested.
    """
    place = str(answer.request.url)
    declared = answer.headers.get("Content-Length", "")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise _too_large(place)
    encoding = answer.headers.pop("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ACCEPTED_ENCODING):
        raise UnreadableAnswerError(f"{place}: the response is compressed with {encoding[:20]!r}, not gzip")
    if isinstance(answer.stream, httpx.AsyncByteStream):
        answer.stream = _LimitedStream(answer.stream, place, compressed=encoding == ACCEPTED_ENCODING)


class _LimitedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, place: str, *, compressed: bool) -> None:
        self._stream = stream
        self._place = place
        self._decompressor = zlib.decompressobj(_GZIP_WINDOW) if compressed else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for received in self._stream:
            for piece in self._decompressed(received):
                size += len(piece)
                if size > MAX_BYTES:
                    raise _too_large(self._place)
                yield piece
        if self._decompressor is not None and not self._decompressor.eof:
            raise UnreadableAnswerError(f"{self._place}: the compressed response is truncated")

    def _decompressed(self, received: bytes) -> Iterator[bytes]:
        if self._decompressor is None:
            yield received
            return
        try:
            while received:
                yield self._decompressor.decompress(received, _PIECE_BYTES)
                received = self._decompressor.unconsumed_tail
        except zlib.error as error:
            raise UnreadableAnswerError(f"{self._place}: the response cannot be decompressed ({error})") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _too_large(place: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(f"{place}: the response is larger than {MAX_BYTES // 2**20} MiB and was not read")
