"""The proxy changes nothing that the agent or the upstream can see, but for the marks."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tests.record.conftest import StartProxy
from tests.record.harness import ANSWER, body_of, exchange_bytes, header_fields, scripted, serving

CHAT = "/v1/chat/completions"
MARKED = b'{"model":"m","messages":[{"role":"user","content":"hi","memory":{"key":"k"}}]}'
UNMARKED = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
REPLY = (
    b'{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}]}'
)


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    head = [b"HTTP/1.1 " + status, *fields, b"content-length: %d" % len(body)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    return (
        "\r\n".join([f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "connection: close", *fields, "", ""]).encode()
        + body
    )


def test_status_fields_and_bytes_reach_the_agent_unchanged(start_proxy: StartProxy) -> None:
    body = gzip.compress(b"\xff not text")
    fields = (b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Content-Type: x/y", b"content-encoding: gzip", b"DATE: never")
    with scripted(answer(body, *fields, status=b"529 Overloaded")) as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, request("POST", CHAT, "content-length: 2", body=b"{}"))
    assert got.startswith(b"HTTP/1.1 529")
    assert body_of(got) == body
    sent = [*fields, b"content-length: %d" % len(body), b"Connection: close"]  # the last is of this connection
    assert got.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:] == sent


def test_fields_that_concern_one_connection_only_are_not_passed_on(start_proxy: StartProxy) -> None:
    fields = (b"Connection: X-Hop, keep-alive", b"X-Hop: 1", b"Keep-Alive: timeout=5", b"Trailer: x", b"X-End: 2")
    with scripted(answer(REPLY, *fields)) as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, request("GET", "/v1/models"))
    assert header_fields(got).keys() == {b"x-end", b"content-length", b"connection"}


def test_a_length_beside_chunks_is_not_passed_on(start_proxy: StartProxy) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with scripted(chunked) as upstream:
        proxy = start_proxy(upstream.url)
        assert httpx.get(proxy.url + "/v1/models").content == b"{}"


def test_a_stream_passes_chunk_by_chunk(start_proxy: StartProxy) -> None:
    received = threading.Event()

    def stream(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ndata: \r\n")
        assert received.wait(10)  # the next chunk is sent only after the client has the first
        connection.sendall(b"4\r\n1\n\n \r\n0\r\n\r\n")

    with scripted(stream) as upstream:
        proxy = start_proxy(upstream.url)
        with httpx.stream("POST", proxy.url + CHAT, content=UNMARKED) as response:
            chunks = []
            for chunk in response.iter_raw():
                chunks.append(chunk)
                received.set()
    assert chunks == [b"data: ", b"1\n\n "]


def test_two_hundred_streams_run_at_once(start_proxy: StartProxy) -> None:
    streams = 200
    arrived: list[Send] = []
    everyone = asyncio.Event()

    async def model(_scope: Scope, _receive: Receive, send: Send) -> None:
        number = len(arrived)
        arrived.append(send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d " % number, "more_body": True})
        if len(arrived) == streams:
            everyone.set()
        await everyone.wait()  # none ends before all have begun
        await send({"type": "http.response.body", "body": b"end"})

    async def stream(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST", CHAT, f"content-length: {len(UNMARKED)}", body=UNMARKED))
        received = await asyncio.wait_for(reader.read(-1), 60)
        writer.close()
        return received

    async def streams_of(port: int) -> list[bytes]:
        return await asyncio.gather(*(stream(port) for _ in range(streams)))

    with serving(model) as url:
        proxy = start_proxy(url)
        received = asyncio.run(streams_of(proxy.port))
    bodies = {b"".join(body_of(whole).split(b"\r\n")[1::2]) for whole in received}
    assert bodies == {b"%d end" % number for number in range(streams)}
    assert len(proxy.calls()) == streams


def test_nothing_is_added_to_a_request(start_proxy: StartProxy) -> None:
    sent = {"authorization": "Bearer k", "x-stainless-os": "Linux", "cookie": "c=1", "accept": "*/*"}
    lines = [f"{name}: {value}" for name, value in sent.items()]
    with scripted(ANSWER) as upstream:
        proxy = start_proxy(upstream.url)
        exchange_bytes(proxy.port, request("GET", "/v1/models", *lines, "te: trailers", "keep-alive: 5"))
        fields = header_fields(upstream.requests[0])
    assert fields == {name.encode(): value.encode() for name, value in sent.items()} | {
        b"host": f"127.0.0.1:{upstream.port}".encode()
    }


def test_the_path_and_the_query_are_forwarded_as_sent(start_proxy: StartProxy) -> None:
    with scripted(ANSWER) as upstream:
        proxy = start_proxy(upstream.url)
        exchange_bytes(proxy.port, request("GET", "/v1/files/a%2Fb?x=%7B&y=%20//z"))
        exchange_bytes(proxy.port, request("GET", "/health"))
    lines = [sent.split(b"\r\n")[0] for sent in upstream.requests]
    assert lines == [b"GET /v1/files/a%2Fb?x=%7B&y=%20//z HTTP/1.1", b"GET /health HTTP/1.1"]


def test_cookies_of_one_response_are_not_sent_with_the_next_request(start_proxy: StartProxy) -> None:
    with scripted(answer(b"{}", b"set-cookie: session=secret; path=/")) as upstream:
        proxy = start_proxy(upstream.url)
        for _ in range(2):
            exchange_bytes(proxy.port, request("GET", "/v1/models"))
    assert b"secret" not in upstream.requests[1]


def test_the_http_proxy_of_the_environment_is_used(start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(ANSWER) as gateway:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{gateway.port}")
        proxy = start_proxy("http://model.example/v1")
        got = exchange_bytes(proxy.port, request("GET", "/v1/models"))
    assert body_of(got) == b"{}"
    assert gateway.requests[0].startswith(b"GET http://model.example/v1/models HTTP/1.1")


def test_marks_are_removed_before_forwarding(start_proxy: StartProxy) -> None:
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        response = httpx.post(proxy.url + CHAT, content=MARKED)
        assert response.content == REPLY
    assert body_of(upstream.requests[0]) == UNMARKED
    assert header_fields(upstream.requests[0])[b"content-length"] == b"%d" % len(UNMARKED)
    assert any("memory" in str(line) for line in proxy.finish())


def test_marks_are_removed_from_a_compressed_body(start_proxy: StartProxy) -> None:
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        httpx.post(proxy.url + CHAT, content=gzip.compress(MARKED), headers={"content-encoding": "gzip"})
    assert json.loads(gzip.decompress(body_of(upstream.requests[0]))) == json.loads(UNMARKED)


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens?beta=true", "/v1/responses/input_tokens"])
def test_marks_are_removed_where_tokens_are_counted_too(start_proxy: StartProxy, path: str) -> None:
    with scripted(answer(b'{"input_tokens":3}')) as upstream:
        proxy = start_proxy(upstream.url)
        assert httpx.post(proxy.url + path, content=MARKED).json() == {"input_tokens": 3}
    assert body_of(upstream.requests[0]) == UNMARKED
    assert proxy.calls() == []


def test_a_chunked_call_is_forwarded_with_its_length(start_proxy: StartProxy) -> None:
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(UNMARKED), UNMARKED)
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, request("POST", CHAT, "transfer-encoding: chunked", body=chunked))
    assert body_of(got) == REPLY
    assert body_of(upstream.requests[0]) == UNMARKED
    assert [call["status"] for call in proxy.calls()] == ["complete"]


def test_any_other_body_is_passed_on_as_it_arrives(start_proxy: StartProxy) -> None:
    with scripted(ANSWER) as upstream:
        proxy = start_proxy(upstream.url)
        body = b'3\r\n{"m\r\n8\r\nemory":1\r\n1\r\n}\r\n0\r\n\r\n'
        exchange_bytes(proxy.port, request("POST", "/v1/embeddings", "transfer-encoding: chunked", body=body))
        exchange_bytes(proxy.port, request("PUT", "/v1/files", "content-length: 3", body=b"abc"))
    assert header_fields(upstream.requests[0])[b"transfer-encoding"] == b"chunked"
    assert b"emory" in body_of(upstream.requests[0])
    assert body_of(upstream.requests[1]) == b"abc"
    assert proxy.calls() == []


def test_a_client_that_speaks_http_1_0_is_answered_until_the_connection_closes(start_proxy: StartProxy) -> None:
    reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    with scripted(reply) as upstream:
        proxy = start_proxy(upstream.url)
        head = f"POST {CHAT} HTTP/1.0\r\ncontent-length: {len(UNMARKED)}\r\n\r\n".encode()
        got = exchange_bytes(proxy.port, head + UNMARKED)
    assert b"chunked" not in got
    assert body_of(got) == b"{}"


def test_a_client_that_waits_for_100_continue_is_told_to(start_proxy: StartProxy) -> None:
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
            fields = ("expect: 100-continue", f"content-length: {len(UNMARKED)}")
            connection.sendall(request("POST", CHAT, *fields))
            assert connection.recv(65536).startswith(b"HTTP/1.1 100")
            connection.sendall(UNMARKED)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert b"expect" not in header_fields(upstream.requests[0])


def test_head_has_the_length_and_no_body(start_proxy: StartProxy) -> None:
    with scripted(b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n") as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, request("HEAD", "/v1/models"))
    assert header_fields(got)[b"content-length"] == b"12345"
    assert body_of(got) == b""


def test_a_response_without_a_length_ends_where_the_upstream_closes(start_proxy: StartProxy) -> None:
    def closing(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + REPLY)
        connection.shutdown(socket.SHUT_WR)

    with scripted(closing) as upstream:
        proxy = start_proxy(upstream.url)
        assert httpx.post(proxy.url + CHAT, content=UNMARKED).content == REPLY
    assert [call["status"] for call in proxy.calls()] == ["complete"]


def test_a_wrong_path_gets_the_upstreams_answer_and_is_not_recorded(start_proxy: StartProxy) -> None:
    with scripted(answer(b"no such page", status=b"404 Not Found")) as upstream:
        proxy = start_proxy(upstream.url)
        response = httpx.post(f"{proxy.url}/v1/chat/completion", content=UNMARKED)
    assert (response.status_code, response.content) == (404, b"no such page")
    assert proxy.calls() == []


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_a_body_stays_without_one(start_proxy: StartProxy, status: int) -> None:
    with scripted(b"HTTP/1.1 %d X\r\netag: e\r\n\r\n" % status) as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, request("GET", "/v1/models"))
    assert got.startswith(b"HTTP/1.1 %d" % status)
    assert header_fields(got).keys() == {b"etag", b"connection"}


def test_an_empty_post_is_forwarded_and_recorded_as_failed(start_proxy: StartProxy) -> None:
    with scripted(answer(b'{"error":{}}', status=b"400 Bad Request")) as upstream:
        proxy = start_proxy(upstream.url)
        assert httpx.post(proxy.url + CHAT).status_code == 400
    assert body_of(upstream.requests[0]) == b""
    assert {call["status"] for call in proxy.calls()} <= {"failed"}


def test_calls_ask_for_encodings_that_the_recording_can_read(start_proxy: StartProxy) -> None:
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        for path in (CHAT, "/v1/embeddings"):
            httpx.post(proxy.url + path, content=UNMARKED, headers={"accept-encoding": "br, gzip;q=0.5, zstd"})
        httpx.post(proxy.url + CHAT, content=UNMARKED, headers={"accept-encoding": "br"})
    asked = [header_fields(sent)[b"accept-encoding"] for sent in upstream.requests]
    assert asked == [b"gzip;q=0.5", b"br, gzip;q=0.5, zstd", b"identity"]


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("GET http://other.example/v1/models HTTP/1.1", (), b"501"),
        ("CONNECT other.example:443 HTTP/1.1", (), b"501"),
        ("GET /v1/realtime HTTP/1.1", ("upgrade: websocket",), b"501"),
        ("GET /v1/models HTTP/1.1", ("host: rebound.example",), b"421"),
        ("GET /v1/models HTTP/1.1", ("origin: https://page.example",), b"403"),
        ("GET /v1/models HTTP/1.1", ("origin: http://localhost:5173",), b"200"),
        ("GET /v1/models HTTP/1.1", ("host: localhost:80",), b"200"),
    ],
)
def test_only_requests_to_the_proxy_itself_are_forwarded(
    start_proxy: StartProxy, line: str, fields: tuple[str, ...], status: bytes
) -> None:
    host = () if any(field.startswith("host") for field in fields) else ("host: 127.0.0.1",)
    with scripted(ANSWER) as upstream:
        proxy = start_proxy(upstream.url)
        got = exchange_bytes(proxy.port, "\r\n".join([line, *host, *fields, "connection: close", "", ""]).encode())
    assert got.split()[1] == status
    assert len(upstream.requests) == (status == b"200")
