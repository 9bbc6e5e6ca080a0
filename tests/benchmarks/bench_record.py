"""What the recording proxy costs, all rows in one run: `python tests/benchmarks/bench_record.py`.

The same upstream is asked directly and through `memscope record`, alternately; each of the three is a process of its
own. The first byte is timed on connections that are open already, as clients keep them. The limit of 5 ms is for the
difference of the medians.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

CALLS, STREAMS, TOKENS = 400, 200, 60
TOKENS_PER_SECOND = 10.0
LIMIT_MS = 5.0
LARGE_BYTES = 10 << 20
GAPS, GAP_SECONDS = 200, 0.01
EVENT = 'data: {{"id":"c","model":"m","choices":[{{"index":0,"delta":{{"content":"t{} "}}}}]}}\n\n'


def serve_upstream() -> None:
    """Serve chat completions as a stream, at once or at the pace of a model."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def chat(request: Request) -> StreamingResponse:
        options = json.loads(await request.body())
        return StreamingResponse(events(options["tokens"], options["pause"]), media_type="text/event-stream")

    async def events(tokens: int, pause: float) -> AsyncIterator[str]:
        for token in range(tokens):
            yield EVENT.format(token)
            if pause:
                await asyncio.sleep(pause)
        yield "data: [DONE]\n\n"

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    uvicorn.run(app, port=int(sys.argv[2]), http="h11", log_level="error", timeout_keep_alive=75)


class Connection:
    """One connection of a client that parses as little as possible.

    Attributes:
        arrivals: When the chunks of the last response arrived, in seconds.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrivals: list[float] = []
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a port of this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def stream(self, body: bytes) -> tuple[float, bytes]:
        """Make a call; return the seconds to the first byte of the body, and the body without its framing."""
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n"
        began = time.perf_counter()
        self._writer.write(head.encode() + body)
        await self._reader.readuntil(b"\r\n\r\n")
        size = int(await self._reader.readline(), 16)
        self.arrivals = [time.perf_counter()]
        received = b""
        while size:
            received += (await self._reader.readexactly(size + 2))[:-2]
            size = int(await self._reader.readline(), 16)
            self.arrivals.append(time.perf_counter())
        await self._reader.readline()
        return self.arrivals[0] - began, received

    def close(self) -> None:
        """Close it."""
        self._writer.close()


def request(tokens: int, pause: float, padding: int = 0) -> bytes:
    """The body of a call; the upstream answers with so many tokens."""
    messages = [{"role": "user", "content": "x" * padding or "What is my name?"}]
    return json.dumps({"model": "m", "stream": True, "messages": messages, "tokens": tokens, "pause": pause}).encode()


async def first_bytes(ports: dict[str, int], body: bytes, calls: int) -> dict[str, list[float]]:
    """Time the first byte of calls to each port, alternately, in milliseconds."""
    connections = {name: await Connection.open(port) for name, port in ports.items()}
    taken: dict[str, list[float]] = {name: [] for name in ports}
    for call in range(calls + 20):
        for name, connection in connections.items():
            first, _ = await connection.stream(body)
            if call >= 20:
                taken[name].append(first * 1000)
    for connection in connections.values():
        connection.close()
    return taken


async def many_streams(port: int, tokens: int, pause: float) -> tuple[float, int]:
    """Run all streams at once; return the seconds that they took and how many were whole."""
    expected = "".join(EVENT.format(token) for token in range(tokens)).encode() + b"data: [DONE]\n\n"
    connections = await asyncio.gather(*(Connection.open(port) for _ in range(STREAMS)))
    began = time.perf_counter()
    bodies = await asyncio.gather(*(connection.stream(request(tokens, pause)) for connection in connections))
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return seconds, sum(body == expected for _, body in bodies)


async def longest_gap(port: int) -> float:
    """Return the longest time between two tokens of a stream beside which calls of 10 MB are made, in milliseconds."""
    stream, large = await Connection.open(port), await Connection.open(port)
    streaming = asyncio.ensure_future(stream.stream(request(GAPS, GAP_SECONDS)))
    body = request(1, 0, LARGE_BYTES)
    while not streaming.done():
        await large.stream(body)
    stream.close()
    large.close()
    return max(later - earlier for earlier, later in itertools.pairwise(stream.arrivals)) * 1000


async def measure(ports: dict[str, int]) -> bool:
    """Print all rows and return whether the limits hold."""
    delay = await _print_first_bytes("first byte", ports, request(1, 0), CALLS)
    await _print_first_bytes("first byte, request of 10 MB", ports, request(1, 0, LARGE_BYTES), 10)
    for name, port in ports.items():
        print(f"longest gap of a stream beside requests of 10 MB, {name}: {await longest_gap(port):.0f} ms")
    whole = await _print_streams("at the pace of a model", ports, 1 / TOKENS_PER_SECOND)
    whole &= await _print_streams("at once", ports, 0)
    return whole and delay <= LIMIT_MS


async def _print_first_bytes(title: str, ports: dict[str, int], body: bytes, calls: int) -> float:
    taken = await first_bytes(ports, body, calls)
    for name, times in taken.items():
        high = statistics.quantiles(times, n=100)[98]
        print(f"{title}, {name}: median {statistics.median(times):.2f} ms, p99 {high:.2f} ms ({len(times)} calls)")
    delay = statistics.median(taken["recorded"]) - statistics.median(taken["direct"])
    print(f"{title}: the proxy adds {delay:.2f} ms at the median")
    return delay


async def _print_streams(title: str, ports: dict[str, int], pause: float) -> bool:
    seconds: dict[str, float] = {}
    whole = True
    for name, port in ports.items():
        seconds[name], complete = await many_streams(port, TOKENS, pause)
        whole &= complete == STREAMS
        print(f"{STREAMS} streams of {TOKENS} tokens {title}, {name}: {seconds[name]:.2f} s, {complete} whole")
    print(f"{STREAMS} streams {title}: {seconds['recorded'] / seconds['direct']:.2f} x the time")
    return whole


def _start(*command: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *command], **options)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _wait_for(port: int) -> None:
    while True:
        try:
            (await Connection.open(port)).close()
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return


async def run() -> bool:
    """Start the upstream and the recorder, measure, and stop both."""
    ports = {"direct": _free_port(), "recorded": _free_port()}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run.jsonl")
        to = f"http://127.0.0.1:{ports['direct']}/v1"
        recorder = ("-m", "memscope", "record", "--to", to, "--port", str(ports["recorded"]), "--out", str(out))
        processes = [_start(__file__, "upstream", str(ports["direct"])), _start(*recorder, stderr=subprocess.DEVNULL)]
        try:
            for port in ports.values():
                await _wait_for(port)
            good = await measure(ports)
        finally:
            for process in processes:
                process.terminate()
                process.wait()
        calls = sum(b'"type":"call"' in line for line in out.read_bytes().splitlines())
        print(f"{calls} calls recorded in {out.stat().st_size / 2**20:.1f} MB")
    return good


def main() -> int:
    """Measure and print."""
    if sys.argv[1:2] == ["upstream"]:
        serve_upstream()
        return 0
    argparse.ArgumentParser(description=__doc__).parse_args()
    return 0 if asyncio.run(run()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
