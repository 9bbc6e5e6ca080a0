"""Failures of the upstream, the agent or the recording: the agent sees what it would have seen without the proxy."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import httpx
import pytest

from tests.record.conftest import StartProxy
from tests.record.harness import ANSWER, body_of, exchange_bytes, scripted
from tests.record.test_proxy import CHAT, REPLY, UNMARKED, answer, request

SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DELTA = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_an_upstream_that_refuses_is_named_in_the_error(start_proxy: StartProxy) -> None:
    port = free_port()
    proxy = start_proxy(f"http://user:hidden@127.0.0.1:{port}/v1")
    response = httpx.post(f"{proxy.url}{CHAT}?key=hidden", content=UNMARKED, headers={"authorization": "hidden"})
    assert response.status_code == 502
    assert response.headers["content-type"] == "application/json"
    message = response.json()["error"]["message"]
    assert message == f"memscope record: cannot connect to http://127.0.0.1:{port}: Connection refused"
    assert [call["status"] for call in proxy.calls()] == ["failed"]
    assert "hidden" not in proxy.path.read_text() + "".join(proxy.problems)


def test_an_upstream_that_closes_without_a_response_is_reported(start_proxy: StartProxy) -> None:
    with scripted(lambda connection, _: connection.close()) as upstream:
        proxy = start_proxy(upstream.url)
        response = httpx.post(proxy.url + CHAT, content=UNMARKED)
    assert response.status_code == 502
    assert response.json()["error"]["message"].endswith(f"{upstream.port} closed the connection without a response")


def test_an_upstream_that_does_not_speak_http_is_reported(start_proxy: StartProxy) -> None:
    def greet(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"220 smtp.example ESMTP\r\n\r\n")

    with scripted(greet) as upstream:
        proxy = start_proxy(upstream.url)
        response = httpx.post(proxy.url + CHAT, content=UNMARKED)
    assert response.status_code == 502
    assert f"no response from http://127.0.0.1:{upstream.port}" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "cut",
    [SSE + chunk(DELTA), b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + DELTA, SSE + chunk(DELTA) + b"50\r\nhalf"],
    ids=["chunked", "length", "in a chunk"],
)
def test_a_stream_that_the_upstream_cuts_is_cut_for_the_agent(start_proxy: StartProxy, cut: bytes) -> None:
    def cutting(connection: socket.socket, _: bytes) -> None:
        connection.sendall(cut)
        connection.shutdown(socket.SHUT_RDWR)

    with scripted(cutting) as upstream:
        proxy = start_proxy(upstream.url)
        received: list[bytes] = []
        with (
            pytest.raises(httpx.RemoteProtocolError, match="without sending complete"),
            httpx.stream("POST", proxy.url + CHAT, content=UNMARKED) as response,
        ):
            received += response.iter_raw()
    assert [call["status"] for call in proxy.calls()] == ["cut"]
    assert proxy.problems == []


def test_a_cut_stream_does_not_look_whole_to_a_client_that_speaks_http_1_0(start_proxy: StartProxy) -> None:
    def cutting(connection: socket.socket, _: bytes) -> None:
        connection.sendall(SSE + chunk(DELTA))
        connection.shutdown(socket.SHUT_RDWR)

    with scripted(cutting) as upstream:
        proxy = start_proxy(upstream.url)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
            connection.sendall(f"POST {CHAT} HTTP/1.0\r\ncontent-length: {len(UNMARKED)}\r\n\r\n".encode() + UNMARKED)
            with pytest.raises(ConnectionResetError):
                while connection.recv(65536):
                    pass


def test_a_connection_that_the_upstream_resets_is_cut_for_the_agent(start_proxy: StartProxy) -> None:
    received = threading.Event()

    def resetting(connection: socket.socket, _: bytes) -> None:
        connection.sendall(SSE + chunk(DELTA))
        assert received.wait(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with scripted(resetting) as upstream:
        proxy = start_proxy(upstream.url)
        with (
            pytest.raises(httpx.RemoteProtocolError),
            httpx.stream("POST", proxy.url + CHAT, content=UNMARKED) as response,
        ):
            for _ in response.iter_raw():
                received.set()
    assert [call["status"] for call in proxy.calls()] == ["cut"]


def test_when_the_agent_leaves_the_upstream_is_left_too(start_proxy: StartProxy) -> None:
    def endless(connection: socket.socket, _: bytes) -> None:
        connection.sendall(SSE + chunk(DELTA))

    with scripted(endless) as upstream:
        proxy = start_proxy(upstream.url)
        with httpx.stream("POST", proxy.url + CHAT, content=UNMARKED) as response:
            next(response.iter_raw())
        assert upstream.left.wait(10)
    assert [call["status"] for call in proxy.calls()] == ["cut"]


def test_when_the_agent_leaves_before_the_response_the_upstream_is_left_too(start_proxy: StartProxy) -> None:
    asked = threading.Event()
    with scripted(lambda *_: asked.set()) as upstream:
        proxy = start_proxy(upstream.url)
        with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
            connection.sendall(request("POST", CHAT, f"content-length: {len(UNMARKED)}", body=UNMARKED))
            assert asked.wait(10)
        assert upstream.left.wait(10)
    assert [call["status"] for call in proxy.calls()] == ["failed"]


@pytest.mark.parametrize("path", [CHAT, "/v1/embeddings"])
def test_when_the_agent_leaves_before_its_request_is_whole_nothing_is_recorded(
    start_proxy: StartProxy, path: str
) -> None:
    with scripted(ANSWER) as upstream:
        proxy = start_proxy(upstream.url)
        with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
            connection.sendall(request("POST", path, "content-length: 100", body=b"{"))
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        assert proxy.calls() == []
    assert upstream.requests == []
    assert proxy.problems == []


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ((b"content-type: text/html",), b"<html>Bad gateway</html>"),
        ((b"content-type: application/json",), b'{"choices": [\xff\xfe'),
        ((b"content-type: application/json",), b"[" * 100_000),
        ((b"content-type: application/json",), b'{"choices":[{"message":7}]}'),
        ((b"content-type: text/event-stream",), b"data: {\xff}\n\ndata\n\n:\n\nevent: x\ndata: [1\n\n"),
        ((b"content-type: application/json", b"content-encoding: gzip"), b"not gzip"),
        ((b"content-type: application/json", b"content-encoding: br"), b"\x8b\x02\x80"),
        ((), b""),
    ],
    ids=["HTML", "UTF-8", "deep", "shape", "SSE", "gzip", "br", "empty"],
)
def test_a_response_that_cannot_be_read_reaches_the_agent_unchanged(
    start_proxy: StartProxy, fields: tuple[bytes, ...], body: bytes
) -> None:
    with scripted(answer(body, *fields)) as upstream:
        proxy = start_proxy(upstream.url)
        for _ in range(2):
            got = exchange_bytes(proxy.port, request("POST", CHAT, f"content-length: {len(UNMARKED)}", body=UNMARKED))
            assert body_of(got) == body
    assert {call["status"] for call in proxy.calls()} <= {"failed", "cut", "complete"}
    assert len(proxy.problems) <= 1


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"[1]", b"{", b'{"messages":7}', b'{"messages":[{"role":3}]}', b"[" * 99_999]
)
def test_a_request_that_cannot_be_read_is_forwarded_unchanged(start_proxy: StartProxy, body: bytes) -> None:
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, request("POST", CHAT, f"content-length: {len(body)}", body=body))
    assert body_of(got) == REPLY
    assert body_of(upstream.requests[0]) == body
    proxy.finish()


def test_a_recording_that_fails_never_fails_a_call(start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("with a secret in it")

    monkeypatch.setattr("memscope.record.exchange.Exchange.finish", broken)
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        assert httpx.post(proxy.url + CHAT, content=UNMARKED).content == REPLY
        proxy.finish()
    assert proxy.problems == ["a call could not be recorded (RuntimeError)"]


def test_an_unexpected_error_is_reported_without_its_message(
    start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("with a secret in it")

    proxy = start_proxy("http://127.0.0.1:1/v1")
    monkeypatch.setattr("memscope.record.upstream.Upstream.url", broken)
    assert httpx.post(proxy.url + CHAT, content=UNMARKED).status_code == 500
    assert proxy.problems == ["a request could not be forwarded (RuntimeError)"]


def test_secrets_are_not_recorded(start_proxy: StartProxy) -> None:
    reply = answer(REPLY, b"set-cookie: hidden=1", b"x-request-id: hidden")
    with scripted(reply) as upstream:
        proxy = start_proxy(upstream.url)
        secrets = {"authorization": "Bearer hidden", "x-api-key": "hidden", "cookie": "a=hidden", "api-key": "hidden"}
        response = httpx.post(f"{proxy.url}{CHAT}?key=hidden", content=UNMARKED, headers=secrets)
        assert response.content == REPLY
    assert len(proxy.calls()) == 1
    assert "hidden" not in proxy.path.read_text() + "".join(proxy.problems)
    assert Path(proxy.path).stat().st_mode & 0o777 == 0o600


def test_calls_in_flight_at_the_end_are_waited_for_and_written(start_proxy: StartProxy) -> None:
    asked, ending = threading.Event(), threading.Event()

    def late(connection: socket.socket, received: bytes) -> None:
        if b"POST" in received:
            asked.set()
            assert ending.wait(10)
        connection.sendall(answer(REPLY))

    with scripted(late) as upstream:
        proxy = start_proxy(upstream.url)
        at = ("127.0.0.1", proxy.port)
        with socket.create_connection(at, timeout=10) as idle, socket.create_connection(at, timeout=10) as waiting:
            idle.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert read_response(idle) == REPLY
            waiting.sendall(request("POST", CHAT, f"content-length: {len(UNMARKED)}", body=UNMARKED))
            assert asked.wait(10)
            proxy.stop()
            assert idle.recv(1) == b""  # the end has begun
            ending.set()
            assert read_response(waiting) == REPLY
    assert [call["status"] for call in proxy.calls()] == ["complete"]


def read_response(connection: socket.socket) -> bytes:
    read = b""
    while not body_of(read):
        read += connection.recv(65536)
    return body_of(read)
