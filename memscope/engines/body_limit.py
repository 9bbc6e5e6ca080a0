"""The size of answers: a limit on what a body becomes once it is decompressed, held while it arrives.

httpx decompresses whatever it is sent without a bound, also several layers deep, so that a few kilobytes can fill the
memory. Here gzip is the only compression that is asked for and read, one layer of it, in pieces of bounded size.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import httpx

from memscope.engines.decoding import UnreadableAnswerError

__all__ = ["ACCEPTED_ENCODING", "MAX_BYTES", "limit_body"]

ACCEPTED_ENCODING = "gzip"

MAX_BYTES = 256 * 2**20
"""Fifty times the log-probabilities of 30,000 tokens, the largest answer there is."""

_PIECE_BYTES = 2**18
_GZIP_WINDOW = 31


async def limit_body(answer: httpx.Response) -> None:
    """See that reading an answer's body raises before it is larger than `MAX_BYTES`; a response hook of httpx.

    Raises:
        UnreadableAnswerError: It says that it is larger, or is compressed in a way that was not asked for.
    """
    place = str(answer.request.url)
    declared = answer.headers.get("Content-Length", "")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise _too_large(place)
    encoding = answer.headers.pop("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", ACCEPTED_ENCODING):
        raise UnreadableAnswerError(f"{place}: the answer is compressed with {encoding[:20]!r}, not gzip")
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
            raise UnreadableAnswerError(f"{self._place}: the compressed answer ends too early")

    def _decompressed(self, received: bytes) -> Iterator[bytes]:
        if self._decompressor is None:
            yield received
            return
        try:
            while received:
                yield self._decompressor.decompress(received, _PIECE_BYTES)
                received = self._decompressor.unconsumed_tail
        except zlib.error as error:
            raise UnreadableAnswerError(f"{self._place}: the answer cannot be decompressed ({error})") from error

    async def aclose(self) -> None:
        await self._stream.aclose()


def _too_large(place: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(f"{place}: the answer is larger than {MAX_BYTES // 2**20} MiB and was not read")
