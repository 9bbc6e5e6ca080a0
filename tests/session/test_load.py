from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import SessionError
from memscope.session import load
from memscope.session.formats.registry import all_formats
from memscope.session.load import load_session, problems
from memscope.session.nodes import Branch
from tests.session.strategies import MESSAGES, QUICK

HEADER = b'{"type":"session","version":1,"id":"a"}\n'
ONE = b'{"role":"user","content":"a"}'
FRAGMENTS = (
    HEADER, ONE, b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff", b"\0", b"[", b"]", b"{", b"}", b",", b'{"messages":',
    b'{"type":"memory","key":"k","text":"t"}\n', b'{"type":"branch","role":"user"}\n', b'"\\ud800"', b"9" * 5000,
    b"NaN", b'"a"',
)  # fmt: skip


@QUICK
@given(st.binary(max_size=60) | st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=4), max_size=8).map(b"".join))
def test_any_bytes_are_a_session_or_one_clear_line(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(data)
        try:
            session = load_session(path)
        except SessionError as error:
            assert str(error).startswith(str(path))
            assert "\n" not in str(error)
        else:
            assert session.header.id


@QUICK
@given(MESSAGES.filter(bool))
def test_messages_read_the_same_as_an_object_a_list_and_lines(messages: list[object]) -> None:
    lines = "\n".join(json.dumps(message) for message in messages)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "chat.json"
        nodes = []
        for text in (json.dumps({"messages": messages}), json.dumps(messages, indent=1), lines, f"\n{lines}\n\n"[1:]):
            path.write_text(text, encoding="utf-8")
            nodes.append(load_session(path).nodes)
    assert nodes[0] == nodes[1] == nodes[2] == nodes[3]


FORMATS = {
    "native": HEADER,
    "native with a role of its own": b'{"type":"session","version":1,"id":"a","role":"x","messages":[]}\n',
    "object": b'{"messages":[' + ONE + b"]}",
    "object on several rows": b'{ "title": "t",\n"messages":\n[' + ONE + b"]}\n",
    "list": b"[" + ONE + b"]",
    "lines": ONE + b"\n" + ONE,
    "typed lines": b'{"type":"message","role":"user","content":"a"}\r\n',
    "byte order mark": b"\xef\xbb\xbf[" + ONE + b"]",
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_content_decides_the_format(name: str, tmp_path: Path) -> None:
    path = tmp_path / "my chat.txt"
    path.write_bytes(FORMATS[name])
    session = load_session(path)
    expected = "chat-lines" if "lines" in name.split() else "chat"
    assert session.source.format == ("native" if name.startswith("native") else expected)
    assert session.source.path == str(path)


NOT_A_SESSION = f": JSON but not a session, expected {', '.join(one.expected for one in all_formats())}"
CUT_OFF = ":{}: the last line has no newline and is not complete JSON: it was cut off, or is still being written"
WRONG = {
    b"": ": empty, expected a session file",
    b" \n\n": ": empty, expected a session file",
    b"\xef\xbb\xbf": ": empty, expected a session file",
    b"\x7fELF\0\0": ": binary, expected a session file in JSON Lines or JSON",
    b'"text"': NOT_A_SESSION,
    b"3": NOT_A_SESSION,
    b'{"messages":{}}': ": field 'messages': expected a list of messages, got {}",
    b"hello\nworld": ":1: not JSON: JSON is malformed: invalid character at byte 1 of the line",
    b'{"type":"session"\n{"type":"log","text":""}\n': ":1: not JSON: Input data was truncated",
    b'{"a":1}\n': NOT_A_SESSION,
    b'{"messages":[]}\n{"messages":3}\n': ":2: field 'messages': expected a list of messages, got 3",
    b'{"messages":[]}\nhello\n': ":2: not JSON: JSON is malformed: invalid character at byte 1 of the line",
    b'{"messages":\n[x]}': ":2: not JSON: JSON is malformed: invalid character at byte 2 of the line",
    b'[{"role":"user","content":"\xff"}]': ":1: not UTF-8 at byte 28 of the line",
    ONE + b"\n\n" + b'{"role":3}': ":3: field 'role': expected a non-empty string, got 3",
    ONE + b"\n\n" + b'{"role"': CUT_OFF.format(3),
    HEADER + b'{"type":"log","text":"': CUT_OFF.format(2),
}


@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_what_is_not_a_session_is_reported_in_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(SessionError) as caught:
        load_session(path)
    assert str(caught.value) == f"{path}{WRONG[data]}"


def test_what_is_not_a_file_is_reported(tmp_path: Path) -> None:
    cases = {
        tmp_path: ": a directory, expected a session file",
        tmp_path / "none": ": no such file",
        Path("/dev/zero"): ": a device or a socket, expected a session file",
        tmp_path / ("n" * 300): ": cannot be read: File name too long",
    }
    for path, words in cases.items():
        with pytest.raises(SessionError) as caught:
            load_session(path)
        assert str(caught.value) == f"{path}{words}"
    with pytest.raises(SessionError, match="not a file name"):
        load_session("a\0b")


def test_a_file_past_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "FILE_LIMIT", 2**20)
    path = tmp_path / "large"
    path.write_bytes(HEADER)
    os.truncate(path, 2**20 + 1)
    with pytest.raises(SessionError) as caught:
        load_session(path)
    assert str(caught.value) == f"{path}: too large, the limit is 1 MiB"


def test_rules_and_the_users_pattern_reach_the_messages(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps([{"role": "user", "content": '<memory key="a">b</memory> #c=d#'}]))
    assert load_session(path).memory_keys() == ("a",)
    assert load_session(path, rules=()).memory_keys() == ()
    assert load_session(path, rules=(), pattern="#(?P<key>.)=(?P<text>.)#").memory_keys() == ("c",)


def test_problems_say_what_keeps_a_session_from_being_measured(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(HEADER)
    assert problems(load_session(path)) == (
        "no memories found: nothing to leave out",
        "no responses found: no assistant turn in the conversation has any text",
    )
    path.write_bytes(HEADER + b'{"type":"memory","key":"k","text":"t"}\n{"type":"branch","role":"assistant"}\n')
    session = load_session(path)
    assert problems(session) == ("no responses found: no assistant turn in the conversation has any text",)
    assert isinstance(session.nodes[1], Branch)


def test_chats_that_begin_alike_in_different_files_are_different_sessions(tmp_path: Path) -> None:
    chat = b'{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}'
    ids = []
    for name in ("one.json", "other.json"):
        (tmp_path / name).write_bytes(chat)
        ids.append(load_session(str(tmp_path / name)).header.id)
    assert ids[0] != ids[1], "a response approved in one would count in the other"
    longer = chat.replace(b"]}", b',{"role":"user","content":"More"}]}')
    (tmp_path / "one.json").write_bytes(longer)
    assert load_session(str(tmp_path / "one.json")).header.id == ids[0], "marks outlive the session's growth"


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_collection_is_as_it_was_after_reading(small_file: Path, tmp_path: Path, enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        load_session(small_file)
        assert gc.isenabled() is enabled
        with pytest.raises(SessionError):
            load_session(tmp_path / "nowhere")
        (tmp_path / "broken").write_bytes(b"{")
        with pytest.raises(SessionError):
            load_session(tmp_path / "broken")
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
