"""What is recorded is on disk and readable, whatever happens to the recorder; and what happens never fails a call."""

from __future__ import annotations

import resource
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from memscope.session.load import load_session
from tests.record.commands import proxy_port, python_agent, recordings, run_record, start_record
from tests.record.conftest import StartProxy
from tests.record.harness import exchange_bytes, scripted
from tests.record.test_proxy import CHAT, MARKED, REPLY, UNMARKED, answer
from tests.record.test_proxy_faults import DELTA, SSE, chunk


def test_a_recorder_that_is_killed_leaves_all_but_the_calls_in_flight(tmp_path: Path) -> None:
    def streaming(connection: socket.socket, request: bytes) -> None:
        connection.sendall(answer(REPLY) if b"Hold" not in request else SSE + chunk(DELTA))

    with scripted(streaming) as upstream:
        recorder = start_record(tmp_path, "--to", upstream.url)
        url = f"http://127.0.0.1:{proxy_port(recorder)}{CHAT}"
        for _ in range(3):
            httpx.post(url, content=MARKED)
        with (
            pytest.raises(httpx.HTTPError),
            httpx.stream("POST", url, content=UNMARKED.replace(b"hi", b"Hold")) as held,
        ):
            for _ in held.iter_raw():
                recorder.kill()
        recorder.communicate(timeout=20)
    (path,) = recordings(tmp_path)
    session = load_session(path)
    assert len(session.calls) == 3
    assert session.memory_keys() == ("k",)


def test_a_second_signal_cuts_what_is_in_flight_and_records_it(tmp_path: Path) -> None:
    with scripted(SSE + chunk(DELTA)) as upstream:  # and then nothing
        recorder = start_record(tmp_path, "--to", upstream.url)
        url = f"http://127.0.0.1:{proxy_port(recorder)}{CHAT}"
        with pytest.raises(httpx.RemoteProtocolError), httpx.stream("POST", url, content=UNMARKED) as response:
            for _ in response.iter_raw():
                recorder.send_signal(signal.SIGINT)
                recorder.send_signal(signal.SIGTERM)
        recorder.communicate(timeout=20)
    assert recorder.returncode == 130
    (path,) = recordings(tmp_path)
    assert [call.status for call in load_session(path).calls] == ["cut"]


def test_two_recorders_at_once_write_two_recordings(tmp_path: Path) -> None:
    with scripted(answer(REPLY)) as upstream:
        started = [start_record(tmp_path, "--to", upstream.url) for _ in range(2)]
        for recorder in started:
            httpx.post(f"http://127.0.0.1:{proxy_port(recorder)}{CHAT}", content=MARKED)
        for recorder in started:
            recorder.send_signal(signal.SIGTERM)
            recorder.communicate(timeout=20)
            assert recorder.returncode == 0
    assert [len(load_session(path).calls) for path in recordings(tmp_path)] == [1, 1]


def test_a_full_disk_never_fails_a_call_and_is_said_once(tmp_path: Path) -> None:
    program = (
        "import os, urllib.request\n"
        "for number in range(30):\n"
        '    body = b\'{"model":"m","messages":[{"role":"user","content":"%d\' % number + b\'x\' * 500 + b\'"}]}\'\n'
        "    with urllib.request.urlopen(os.environ['OPENAI_BASE_URL'] + '/chat/completions', body) as reply:\n"
        "        print(len(reply.read()))\n"
    )
    full = 4096  # bytes that may be written to one file
    with scripted(answer(REPLY)) as upstream:
        done = run_record(
            tmp_path,
            "--to",
            upstream.url,
            *python_agent(program),
            before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (full, full)),
        )
    assert done.returncode == 0
    assert done.stdout.split() == [b"%d" % len(REPLY)] * 30
    said = done.stderr.decode().splitlines()
    assert len(said) == 3  # the path, that it is full, and how many calls were recorded
    assert "cannot be written" in said[1]
    (path,) = recordings(tmp_path)
    assert path.stat().st_size <= full
    assert 0 < len(load_session(path).calls) < 30


def test_a_recording_that_hangs_delays_no_call(start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, threads = threading.Event(), []

    def hang(*_: object, **__: object) -> None:
        threads.append(threading.current_thread().name)
        assert hanging.wait(20)

    monkeypatch.setattr("memscope.record.exchange.Exchange.finish", hang)
    with scripted(answer(REPLY)) as upstream:
        proxy = start_proxy(upstream.url)
        for _ in range(3):
            assert httpx.post(proxy.url + CHAT, content=UNMARKED).content == REPLY
        hanging.set()
        proxy.finish()
    assert threads == ["memscope-recording_0"] * 3


def test_whatever_goes_wrong_stderr_has_the_recorders_own_lines_only(tmp_path: Path) -> None:
    def cutting(connection: socket.socket, request: bytes) -> None:
        connection.sendall(SSE + chunk(DELTA))
        if b"cut" in request:
            connection.shutdown(socket.SHUT_RDWR)

    secret = {"authorization": "Bearer hidden"}
    with scripted(cutting) as upstream:
        recorder = start_record(tmp_path, "--to", upstream.url)
        port = proxy_port(recorder)
        url = f"http://127.0.0.1:{port}{CHAT}?key=hidden"
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(url, content=UNMARKED.replace(b"hi", b"cut"), headers=secret)
        with httpx.stream("POST", url, content=UNMARKED, headers=secret) as left:
            next(left.iter_raw())
        assert upstream.left.wait(10)
        assert exchange_bytes(port, b"hidden \x00 nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
        assert exchange_bytes(port, b"CONNECT hidden:443 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert httpx.post(url, content=UNMARKED, headers=secret).status_code == 502
    recorder.send_signal(signal.SIGTERM)
    _, said = recorder.communicate(timeout=20)
    (path,) = recordings(tmp_path)
    assert said.decode() == f"memscope: recorded 3 calls in {path}\n"
    assert "hidden" not in path.read_text()
    assert [call.status for call in load_session(path).calls] == ["cut", "cut", "failed"]
