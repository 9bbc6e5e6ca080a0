"""Requests to a scorer: what is tried again, what is final, and how each error reads."""

from collections.abc import Callable

import httpx
import pytest

from memscope.engines.address import is_loopback, parse_address
from memscope.engines.decoding import error_text
from memscope.engines.transport import (
    RefusedError,
    TimedOutError,
    Transport,
)
from memscope.errors import ScorerError, ScorerGoneError, UsageError
from memscope.secret import Secret

pytestmark = pytest.mark.anyio


class Faulty:
    """A server that answers from a list, then with 200; counts what it was asked and how long it was waited for."""

    def __init__(self, *answers: httpx.Response | Exception, healthy: bool = True) -> None:
        self.answers = list(answers)
        self.healthy = healthy
        self.asked: list[str] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/health":
            if not self.healthy:
                raise httpx.ConnectError("refused")
            return httpx.Response(200)
        self.asked.append(request.url.path)
        answer = self.answers.pop(0) if self.answers else httpx.Response(200, json={"ok": True})
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def transport(self) -> Transport:
        return Transport("http://host:1/v1", Secret("key"), http=httpx.MockTransport(self), sleep=self.sleep)


async def test_a_busy_server_is_asked_again_after_the_time_it_names() -> None:
    server = Faulty(httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(503))
    assert await server.transport().post("/v1/score", {}) == b'{"ok":true}'
    assert 7 <= server.slept[0] <= 8.75
    assert 1 <= server.slept[1] <= 1.25


async def test_after_three_tries_a_busy_server_is_an_error() -> None:
    server = Faulty(*(httpx.Response(503, json={"error": {"message": "full"}}) for _ in range(3)))
    with pytest.raises(RefusedError, match="503 full"):
        await server.transport().post("/v1/score", {})
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
async def test_other_errors_are_not_retried(status: int) -> None:
    server = Faulty(httpx.Response(status, json={"error": {"message": "no"}}))
    with pytest.raises(RefusedError) as caught:
        await server.transport().post("/v1/score", {})
    assert caught.value.status == status
    assert len(server.asked) == 1


async def test_a_cut_connection_is_tried_again_when_the_server_lives() -> None:
    server = Faulty(httpx.ReadError("cut"))
    assert await server.transport().post("/v1/score", {})
    assert len(server.asked) == 2


async def test_a_cut_connection_to_a_dead_server_is_final() -> None:
    server = Faulty(httpx.RemoteProtocolError("cut"), healthy=False)
    with pytest.raises(ScorerGoneError, match=r"http://host:1: no scorer responds \(cut\)"):
        await server.transport().post("/v1/score", {})
    assert len(server.asked) == 1


async def test_a_silent_server_is_reported_with_the_time_limit() -> None:
    server = Faulty(httpx.ReadTimeout("slow"))
    with pytest.raises(TimedOutError, match="no complete response within 120 s"):
        await server.transport().post("/v1/score", {})


async def test_an_engine_that_died_is_gone() -> None:
    server = Faulty(httpx.Response(500, json={"error": {"message": "EngineCore encountered an issue."}}))
    with pytest.raises(ScorerGoneError, match="engine died"):
        await server.transport().post("/v1/score", {})


async def test_an_answer_that_is_not_json_is_an_error() -> None:
    server = Faulty(httpx.Response(200, text="<html>"))
    with pytest.raises(ScorerError, match="JSON was expected"):
        await server.transport().get("/v1/models")


async def test_a_refused_key_says_what_to_set() -> None:
    server = Faulty(httpx.Response(401, json={"error": "Unauthorized"}))
    with pytest.raises(RefusedError, match="401 Unauthorized; set the right API key"):
        await server.transport().post("/v1/score", {})


async def test_the_key_is_sent_as_a_bearer_token() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, json={})

    await Transport("http://host", Secret("secret"), http=httpx.MockTransport(answer)).get("/v1/models")
    assert seen == ["Bearer secret"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":{"message":"too\\n long","type":"x"}}', "too long"),
        (b'{"error":"Unauthorized"}', "Unauthorized"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"detail":[{"loc":["body"],"msg":"missing"}]}', '[{"loc":["body"],"msg":"missing"}]'),
        (b"plain words", "plain words"),
        (b"", "Not Found"),
    ],
)
def test_every_shape_of_error_body_is_read(body: bytes, text: str) -> None:
    assert error_text(body, 404) == text


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"])
def test_the_base_address_may_be_written_in_every_usual_way(url: str) -> None:
    assert parse_address(url).root == "http://h:1"


@pytest.mark.parametrize(
    "url",
    [
        "h:1",
        "ftp://h",
        "",
        "http://",
        "http://h:99999",
        "http://h:x/v1",
        "http://[::1/v1",
        "http://é..x/v1",
        "http://h/?a=1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="expected an address"):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "inside"),
    [("http://127.0.0.1:8", True), ("http://[::1]:8", True), ("http://localhost", True), ("http://10.0.0.1", False)],
)
def test_loopback_addresses_are_recognised(url: str, inside: bool) -> None:
    check: Callable[[str], bool] = is_loopback
    assert check(url) is inside


async def test_a_short_request_is_given_the_time_of_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have to wait in the server's queue behind a long one."""
    now, limits = 0.0, []

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal now
        now += 30.0
        limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={})

    monkeypatch.setattr("memscope.engines.transport.time.monotonic", lambda: now)
    client = Transport("http://host", http=httpx.MockTransport(answer))
    await client.post("/v1/score", {"prompt": [7] * 10_000})
    await client.post("/v1/score", {"prompt": [7] * 10_000})
    await client.post("/v1/score", {"prompt": [7]})
    assert limits == [120.0, pytest.approx(90.0), pytest.approx(90.0)]
    await client.close()
