"""Servers that send too much, too slowly, or what cannot be read: one line each, within a limit of time and memory."""

from __future__ import annotations

import asyncio
import gzip
import json
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from memscope.engines import body_limit, transport
from memscope.engines.base import Sampling
from memscope.engines.client import connect
from memscope.engines.decoding import UnreadableAnswerError
from memscope.engines.tokenizer_files import fetch_tokenizer
from memscope.engines.transport import AnswerLostError, RefusedError, TimedOutError, Transport
from memscope.errors import MemscopeError, ScorerError
from memscope.secret import Secret
from tests.conftest import ScorerAddress
from tests.engines.faulty import Asked, Handler, answer, between, serving

pytestmark = pytest.mark.anyio

IDS = array("I", range(5, 45))
KEY = "a key that nobody may see"

UNREADABLE: dict[str, bytes] = {
    "invalid UTF-8": b'{"data":[{"id":"\xff\xfe"}],"scores":"\xff","choices":"\xff","files":{"a":"\xff"}}',
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "deep nesting in a field nobody asked for": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "an unfinished object": b'{"data":[{"id":',
    "a number that does not fit": b'{"data":1e999,"scores":1e999,"choices":1e999,"files":1e999}',
    "another type": b'"no"',
    "a page": b"<html>busy</html>",
    "nothing": b"",
}


def always(content: Any, status: int = 200, **headers: str) -> Handler:
    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        answer(writer, content, status, **headers)

    return handle


def one_line(error: BaseException) -> str:
    """Return an error's line, once it is known that neither it nor any frame on its way shows the key."""
    line = str(error)
    assert "\n" not in line
    assert len(line) < 600
    at = error.__traceback__
    while at is not None:
        if "/memscope/" in at.tb_frame.f_code.co_filename:
            assert KEY not in repr(at.tb_frame.f_locals)
        at = at.tb_next
    return line


@pytest.mark.parametrize("name", UNREADABLE)
async def test_what_cannot_be_read_is_one_error_everywhere(name: str, scorer: ScorerAddress, tmp_path: Any) -> None:
    body = UNREADABLE[name]
    async with serving(always(body)) as url:
        with pytest.raises(ScorerError) as caught:
            await connect(Transport(url, Secret(KEY)))
        assert "/v1/models: the model list of an OpenAI-style server was expected" in one_line(caught.value)
        client = Transport(url, Secret(KEY))
        with pytest.raises(UnreadableAnswerError) as caught_files:
            await fetch_tokenizer(client, tmp_path)
        one_line(caught_files.value)
        await client.close()
    broken = False

    def later(asked: Asked, reply: Any) -> Any:
        return body if broken and asked.method == "POST" else reply

    async with between(scorer, later) as url:
        for dialect in ("score", "prompt_logprobs"):
            broken = False
            scoring = await connect(Transport(url, Secret(KEY)), dialect=dialect)
            broken = True
            with pytest.raises(ScorerError, match="was expected") as caught_score:
                await scoring.score(IDS, [(5, 30)])
            one_line(caught_score.value)
            with pytest.raises(ScorerError) as caught_text:
                async for _ in scoring.generate(IDS, Sampling(), ()):
                    pass
            one_line(caught_text.value)
            await scoring.close()


@pytest.mark.parametrize("content", [UNREADABLE["invalid UTF-8"], UNREADABLE["deep nesting"], b"", b"\xff"])
async def test_an_error_body_that_cannot_be_read_is_still_a_refusal(content: bytes) -> None:
    async with serving(always(content, 400)) as url:
        client = Transport(url, Secret(KEY))
        with pytest.raises(RefusedError) as caught:
            await client.post("/v1/score", {})
        assert "/v1/score: 400 " in one_line(caught.value)
        await client.close()


@pytest.mark.parametrize("token", [-1, 2**32, 2**40])
async def test_ids_out_of_range_are_refused(token: int, scorer: ScorerAddress) -> None:
    streamed = json.dumps({"choices": [{"text": "x", "token_ids": [token]}]}).encode()
    lying = False

    def lie(asked: Asked, reply: Any) -> Any:
        if asked.path == "/v1/completions" and lying:
            reply["choices"][0]["token_ids"] = [token]
        return reply

    async with between(scorer, lie) as url:
        lying = True
        with pytest.raises(ScorerError, match=f"{token} is not a token id") as caught:
            await connect(Transport(url, Secret(KEY)))
        one_line(caught.value)
    async with serving(always(b"data: " + streamed + b"\n\n")) as url:
        client = await connect(Transport(scorer.url, Secret(scorer.token)))
        elsewhere = type(client._dialect)(type(client._dialect.served)(Transport(url), "tiny"))
        with pytest.raises(ScorerError, match=f"{token} is not a token id"):
            async for _ in elsewhere.generate(IDS, Sampling(), ()):
                pass
        await client.close()
        await elsewhere.served.transport.close()


def dripping(status: int = 200, *, pieces: int = 10_000) -> Handler:
    """Send a body byte by byte: each comes well within any limit for a single read."""

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} OK\r\nContent-Length: {pieces}\r\n\r\n".encode())
        for _ in range(pieces - 2):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)
        writer.write(b"{}")

    return handle


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a tenth of a second."""
    for name in ("FIRST_CALL_SECONDS", "_MIN_SECONDS", "_MAX_SECONDS"):
        monkeypatch.setattr(transport, name, 0.1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [200, 500])
async def test_a_slow_drip_ends_at_the_limit_for_the_whole_request(status: int) -> None:
    async with serving(dripping(status)) as url:
        client = Transport(url)
        with pytest.raises(TimedOutError, match=r"no complete response within 0 s"):
            await client.get("/v1/models", seconds=0.1)
        with pytest.raises(TimedOutError):
            await client.post("/v1/score", {})
        with pytest.raises(AnswerLostError, match="the response was lost"):
            await client.post_once("/v1/train", {}, {})
        with pytest.raises(TimedOutError, match="did not end within"):
            async for _ in client.stream("/v1/completions", {}, seconds=0.1):
                pass
        await client.close()


@pytest.mark.usefixtures("impatient")
async def test_a_child_process_has_no_time_limit() -> None:
    async with serving(dripping(pieces=100)) as url:
        client = Transport(url, patient=True)
        assert (await client.post("/v1/score", {})).strip() == b"{}"
        await client.close()


BOMB = gzip.compress(b" " * 2**24)
TOO_LARGE: dict[str, Callable[[], Handler]] = {
    "said": lambda: always(b" " * 2**21),
    "not said": lambda: endless,
    "compressed": lambda: always(BOMB, Content_Encoding="gzip"),
    "an error": lambda: always(BOMB, 500, Content_Encoding="gzip"),
}


async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Send without saying how much, and without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b" " * 2**16)
        await writer.drain()


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_an_answer_is_read_up_to_a_limit(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(body_limit, "MAX_BYTES", 2**20)
    async with serving(TOO_LARGE[name]()) as url:
        client = Transport(url)
        for asking in (client.post("/v1/score", {}), client.get("/v1/models"), fetch_tokenizer(client, tmp_path)):
            with pytest.raises(UnreadableAnswerError, match="larger than 1 MiB and was not read"):
                await asking
        with pytest.raises(AnswerLostError, match="larger than 1 MiB"):
            await client.post_once("/v1/train", {}, {})
        with pytest.raises(ScorerError, match=r"larger than 1 MiB|does not end"):
            async for _ in client.stream("/v1/completions", {}, seconds=10):
                pass
        await client.close()


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("gzip, gzip", gzip.compress(BOMB), "compressed with 'gzip, gzip', not gzip"),
        ("br", b"x", "compressed with 'br'"),
        ("gzip", b"no gzip", "cannot be decompressed"),
        ("gzip", BOMB[:-9], "is truncated"),
    ],
)
async def test_only_one_layer_of_sound_gzip_is_read(encoding: str, body: bytes, words: str) -> None:
    async with serving(always(body, Content_Encoding=encoding)) as url:
        client = Transport(url)
        with pytest.raises(UnreadableAnswerError, match=words):
            await client.post("/v1/score", {})
        await client.close()


async def test_a_compressed_answer_is_read() -> None:
    async with serving(always(gzip.compress(b'{"data":1}'), Content_Encoding="gzip")) as url:
        client = Transport(url)
        assert await client.get("/v1/models") == {"data": 1}
        await client.close()


async def test_a_stream_is_split_at_line_feeds_only(scorer: ScorerAddress) -> None:
    async with serving(always("data: a\u2028b\x85c\r\n\ndata: d".encode())) as url:
        client = Transport(url)
        lines = [line async for line in client.stream("/v1/completions", {}, seconds=10)]
        assert lines == ["data: a\u2028b\x85c\r".encode(), b"", b"data: d"]
        await client.close()


async def test_a_server_that_loads_its_model_is_waited_for(scorer: ScorerAddress) -> None:
    refusals = {"/v1/models": 5, "/v1/score": 3, "/v1/completions": 3}
    said: list[str] = []

    def loading(asked: Asked, reply: Any) -> Any:
        if refusals.get(asked.path, 0):
            refusals[asked.path] -= 1
            return 503
        return reply

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    async with between(scorer, loading) as url:
        client = await connect(Transport(url, sleep=no_sleep), on_wait=said.append)
        assert client.info.verified
        assert client.info.dialect == "score", "the dialect is not another one for having been asked too early"
        await client.close()
    assert len(said) == 1
    assert said[0].endswith("is not ready (no such thing): waiting up to 120 s")


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_never_loads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memscope.engines.probe.FIRST_CALL_SECONDS", 0.0)

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    async with serving(always({"error": {"message": "loading"}}, 503)) as url:
        with pytest.raises(RefusedError, match="503 loading"):
            await connect(Transport(url, sleep=no_sleep))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed_with_the_key(status: int) -> None:
    asked_there: list[Asked] = []

    async def there(asked: Asked, writer: asyncio.StreamWriter) -> None:
        asked_there.append(asked)
        answer(writer, {})

    async with serving(there) as elsewhere, serving(always(b"", status, Location=elsewhere)) as url:
        client = Transport(url, Secret(KEY))
        for asking in (client.get("/v1/models"), client.post("/v1/score", {}), client.post_once("/v1/train", {}, {})):
            with pytest.raises(MemscopeError, match=r"redirects to 127\.0\.0\.1, which is not followed") as caught:
                await asking
            one_line(caught.value)
        with pytest.raises(RefusedError, match="redirects"):
            async for _ in client.stream("/v1/completions", {}, seconds=10):
                pass
        await client.close()
    assert not asked_there
