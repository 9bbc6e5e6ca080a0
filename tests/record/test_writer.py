from __future__ import annotations

import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memscope.errors import SessionError
from memscope.record.writer import RecordingWriter, new_recording
from memscope.session.apis.base import CallReply, CallRequest, ReplyStatus
from memscope.session.load import load_session
from memscope.session.text import responses


def request(*texts: str) -> CallRequest:
    return CallRequest([{"role": "user", "content": [{"type": "text", "text": text}]} for text in texts])


def reply(text: str) -> CallReply:
    return CallReply({"role": "assistant", "content": [{"type": "text", "text": text}]})


def texts(path: Path) -> list[str]:
    return [found.text for found in responses(load_session(path))]


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: writes are cut short there, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, previous)


def test_a_new_recording_is_its_owners_alone_and_has_a_header_at_once(tmp_path: Path) -> None:
    path = new_recording(tmp_path / "recordings")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{4}\.jsonl", path.name)
    RecordingWriter(path, title="a title", client="python agent.py")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    header = load_session(path).header
    assert (header.id, header.title, header.extra) == (path.stem, "a title", {"client": "python agent.py"})


@pytest.mark.parametrize(("status", "said"), [("cut", "I look."), ("complete", 'I look.<tool_call>\n{"name":"sh",')])
def test_a_tool_call_that_was_cut_is_kept_and_not_scored(tmp_path: Path, status: ReplyStatus, said: str) -> None:
    call = {"type": "tool_call", "id": "1", "name": "sh", "arguments": '{"cmd": "l'}
    answer = reply("I look.").message
    assert answer is not None
    writer = RecordingWriter(tmp_path / "r.jsonl")
    writer.add(request("list"), CallReply({**answer, "content": [*answer["content"], call]}, status=status))
    assert [text[: len(said)] for text in texts(tmp_path / "r.jsonl")] == [said]
    assert '"arguments":"{\\"cmd\\": \\"l"' in (tmp_path / "r.jsonl").read_text()
    notes = load_session(tmp_path / "r.jsonl").source.notes
    assert notes == (("1 unfinished tool call part skipped",) if status == "cut" else ())
    assert texts(tmp_path / "r.jsonl")[0] == said or status == "complete"


def test_recordings_with_the_same_name_have_different_ids(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        RecordingWriter(tmp_path / folder / "run.jsonl")
    ids = {load_session(tmp_path / folder / "run.jsonl").header.id for folder in ("a", "b")}
    assert len(ids) == 2


def test_every_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    write = os.write

    def noted(file: int, data: bytes) -> int:
        written.append(data)
        return write(file, data)

    monkeypatch.setattr(os, "write", noted)
    RecordingWriter(tmp_path / "run.jsonl").add(request("a", "b"), reply("c"))
    assert len(written) == 5
    assert all(data.endswith(b"\n") and json.loads(data) for data in written)
    assert b"".join(written) == (tmp_path / "run.jsonl").read_bytes()


def test_a_recording_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    for text in ("one", "two"):
        writer = RecordingWriter(path, title=text)
        writer.add(request("same"), reply(text))
        writer.close()
    session = load_session(path)
    assert [call.id for call in session.calls] == ["c1", "c2"]
    assert session.header.title == "one"
    assert path.read_bytes().count(b"same") == 1


def test_a_recording_whose_last_line_was_cut_off_is_continued_on_a_new_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    writer = RecordingWriter(path)
    writer.add(request("a"), reply("b"))
    writer.close()
    os.truncate(path, path.stat().st_size - 20)
    writer = RecordingWriter(path)
    writer.add(request("a"), reply("c"))
    session = load_session(path)
    assert texts(path) == ["c"]
    assert [note.split(": ")[0] for note in session.source.notes] == ["a line skipped"]


@pytest.mark.parametrize(
    "content", [b'{"type":"session","version":1,"id":"a"}\n', b"hello\n", b"\n", b'{"type":"recording","version":2}\n']
)
def test_a_file_that_is_no_recording_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(content)
    with pytest.raises(SessionError, match=": not a recording of version 1; choose another file"):
        RecordingWriter(path)
    assert path.read_bytes() == content


def test_two_recorders_never_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first = RecordingWriter(path)
    with pytest.raises(SessionError, match="another recorder writes this file"):
        RecordingWriter(path)
    first.close()
    RecordingWriter(path)
    assert new_recording(tmp_path) != new_recording(tmp_path)


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path / "none" / "run.jsonl", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (Path("/dev/null"), "not a regular file"),
        (Path("a\0b"), "embedded null byte"),
    ):
        with pytest.raises(SessionError, match=words):
            RecordingWriter(path)
    with pytest.raises(SessionError, match="no recording can be created there"):
        new_recording(tmp_path / "file" / "recordings")


@pytest.mark.parametrize("what", ["deleted", "truncated"])
def test_a_file_that_is_lost_while_it_is_written_begins_again_whole(tmp_path: Path, what: str) -> None:
    problems: list[str] = []
    path = tmp_path / "run.jsonl"
    writer = RecordingWriter(path, title="a title", on_problem=problems.append)
    writer.add(request("a"), reply("b"))
    if what == "deleted":
        path.unlink()
    else:
        path.write_bytes(b"")
    writer.add(request("a", "c"), reply("d"))
    writer.add(request("a", "c", "e"), reply("f"))
    assert (texts(path), writer.calls, load_session(path).header.title) == (["d", "f"], 2, "a title")
    assert problems == [f"{path} was {what} while it was written: a new recording begins there"]


def test_a_recording_whose_folder_is_deleted_fails_no_call_and_is_told(tmp_path: Path) -> None:
    problems: list[str] = []
    (folder := tmp_path / "folder").mkdir()
    writer = RecordingWriter(folder / "run.jsonl", on_problem=problems.append)
    (folder / "run.jsonl").unlink()
    folder.rmdir()
    for number in range(3):
        writer.add(request(f"{number}"), reply("lost"))
    assert writer.calls == 0
    assert len(problems) == 2
    assert problems[1].endswith("cannot be written: No such file or directory; calls are missing in it")


def test_a_full_disk_fails_no_call_and_is_told_once(tmp_path: Path) -> None:
    problems: list[str] = []
    writer = RecordingWriter(tmp_path / "run.jsonl", on_problem=problems.append)
    writer.add(request("first"), reply("kept"))
    with file_limit(Path(writer.path).stat().st_size + 40):
        for number in range(3):
            writer.add(request(f"lost {number}"), reply("lost"))
    writer.add(request("last"), reply("kept too"))
    assert texts(Path(writer.path)) == ["kept", "kept too"]
    assert len(problems) == 1
    assert problems[0].endswith("calls are missing in it")


def test_wherever_the_disk_is_full_what_comes_later_is_whole(tmp_path: Path) -> None:
    whole = RecordingWriter(tmp_path / "whole.jsonl")
    whole.add(request("a", "b"), reply("c"))
    size = Path(whole.path).stat().st_size
    for room in range(size):
        path = tmp_path / f"{room}.jsonl"
        writer = RecordingWriter(path)
        with file_limit(path.stat().st_size + room):
            writer.add(request("a", "b"), reply("c"))
        writer.add(request("a", "b", "d"), reply("e"))
        writer.close()
        if room % 10 == 0:
            RecordingWriter(path).add(request("f"), reply("e"))
        assert texts(path)[-1] == "e"
        assert len(load_session(path).calls) >= writer.calls


def test_threads_share_a_writer(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "run.jsonl")

    def add(thread: int) -> None:
        for number in range(20):
            writer.add(request("same", f"{thread}-{number}"), reply(f"{number}"))

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = load_session(writer.path).calls
    assert len({call.id for call in calls}) == len(calls) == 160


def test_a_forked_process_gives_its_calls_ids_of_their_own(tmp_path: Path) -> None:
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom memscope.record.writer import RecordingWriter\n"
        "from tests.record.test_writer import request, reply\n"
        "writer = RecordingWriter(Path(sys.argv[1]))\nchild = os.fork()\n"
        "writer.add(request('a'), reply('child' if child == 0 else 'parent'))\nif child: os.wait()"
    )
    path = tmp_path / "run.jsonl"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, path], check=True)
    assert sorted(texts(path)) == ["child", "parent"]


def test_a_killed_writer_leaves_a_readable_recording(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom memscope.record.writer import RecordingWriter\n"
        "from tests.record.test_writer import request, reply\n"
        "writer = RecordingWriter(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n writer.add(request(f'{number}' * 99), reply('a'))\n print(number, flush=True)"
    )
    path = tmp_path / "run.jsonl"
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as process:
        assert process.stdout
        while int(process.stdout.readline()) < 50:
            pass
        process.kill()
        told = 51 + len(process.stdout.readlines())
    assert len(load_session(path).calls) in (told, told + 1)


def test_a_text_that_no_reader_would_take_is_left_out(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "run.jsonl")
    writer.add(request("a" * 33 * 2**20, "b"), reply("c"))
    assert texts(Path(writer.path)) == ["c"]
    session = load_session(writer.path)
    assert "1 overlong text part skipped" in session.source.notes
    assert session.source.context == "reconstructed"


def test_a_call_that_ends_after_the_recording_was_closed_is_told(tmp_path: Path) -> None:
    problems: list[str] = []
    writer = RecordingWriter(tmp_path / "run.jsonl", on_problem=problems.append)
    writer.close()
    writer.close()
    writer.add(request("a"), reply("b"))
    assert problems == [f"{writer.path}: cannot be written: the recording is closed; calls are missing in it"]
