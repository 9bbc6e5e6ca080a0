from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.errors import SessionError
from memscope.session.formats.lines import LINE_LIMIT
from memscope.session.formats.native import NativeReader, read_native
from memscope.session.formats.native_writer import write_native
from memscope.session.nodes import Branch, Content, Header, Memory, Node, Session, ToolCall
from tests.session.strategies import QUICK, SESSIONS

HEADER = b'{"type":"session","version":1,"id":"a"}\n'

EXAMPLE = """\
{"type":"session","version":1,"id":"2026-11-20-a","title":"a title","model":"m","made_by":"us"}
{"type":"branch","section":"system","role":"system","children":[{"type":"content","text":"You are…"}]}
{"type":"memory","section":"identity","key":"user/name","text":"The user is called Mira.","score":0.5}
{"type":"branch","role":"user","timestamp":"2026-11-20T10:00:00.123Z","children":[{"type":"content","text":"é"}]}
{"type":"memory","key":"db/staging","text":"Staging Postgres listens on 7432."}
{"type":"branch","role":"assistant","children":[{"type":"thinking","text":"…"},{"type":"content","text":"…","x":[1]},\
{"type":"tool_call","name":"sh","arguments":{"cmd":"ls"}}],"cost":{"tokens":3}}
{"type":"tool_result","text":"…"}
{"type":"log","text":"never sent to the model"}
""".encode()


def written(*nodes: Node) -> bytes:
    return write_native(Session(header=Header(id="a"), nodes=nodes))


@QUICK
@given(SESSIONS)
def test_any_nodes_survive_a_round_trip_with_their_unknown_fields(session: Session) -> None:
    again = read_native(write_native(session), "s.jsonl")
    assert (again.header, again.nodes) == (session.header, session.nodes)


def test_a_file_in_the_order_of_the_format_is_written_back_byte_for_byte() -> None:
    assert write_native(read_native(EXAMPLE, "s.jsonl")) == EXAMPLE


def test_a_section_is_conversation_unless_it_says_otherwise_and_children_share_it() -> None:
    plain, system = read_native(
        HEADER
        + b'{"type":"content","section":"conversation","text":"a"}\n'
        + b'{"type":"branch","section":"system","role":"system","children":[{"type":"content","text":"b"}]}\n',
        "s.jsonl",
    ).nodes
    assert plain == Content(text="a")
    assert isinstance(system, Branch)
    assert system.children == (Content(text="b", section="system"),)


def test_what_the_format_gives_a_meaning_is_never_written_from_the_unknown_fields() -> None:
    turn = Branch(role="user", extra={"type": "message", "timestamp": 17, "note": 1})
    assert written(turn) == HEADER + b'{"type":"branch","role":"user","children":[],"note":1}\n'


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    assert read_native(b"\xef\xbb\xbf" + EXAMPLE.replace(b"\n", b"\r\n"), "s").nodes == read_native(EXAMPLE, "s").nodes


@QUICK
@given(st.lists(st.integers(0, len(EXAMPLE)), max_size=6))
def test_a_file_read_in_pieces_is_the_file(cuts: list[int]) -> None:
    reader = NativeReader("s.jsonl")
    places = [0, *sorted(cuts), len(EXAMPLE)]
    for start, end in pairwise(places):
        reader.feed(EXAMPLE[start:end])
        if complete := EXAMPLE[:end].count(b"\n"):
            assert len(reader.session().nodes) == complete - 1
    assert reader.session() == read_native(EXAMPLE, "s.jsonl")


def test_a_follower_waits_for_the_newline() -> None:
    reader = NativeReader("s.jsonl")
    for data, nodes in ((HEADER + b'{"type":"content",', ()), (b'"text":"a"}', ()), (b"\n", (Content(text="a"),))):
        reader.feed(data)
        assert reader.session().nodes == nodes


def test_a_reader_without_a_header_has_no_session() -> None:
    reader = NativeReader("s.jsonl")
    reader.feed(HEADER[:-1])
    with pytest.raises(SessionError, match="expected a header of type session on the first line, got nothing"):
        reader.session()


def test_a_line_past_the_limit_is_refused_before_it_is_complete() -> None:
    reader = NativeReader("s.jsonl")
    with pytest.raises(SessionError) as caught:
        reader.feed(HEADER + b'{"type":"content","text":"' + b"a" * LINE_LIMIT)
    assert str(caught.value) == "s.jsonl:2: the line is longer than 32 MiB; a session file has one node per line"


WRONG_NODES = {
    b'{"type":"memory","key":3,"text":"a"}': "field 'key': expected a non-empty string, got 3",
    b'{"type":"memory","key":"","text":"a"}': "field 'key': expected a non-empty string, got ''",
    b'{"type":"memory","text":"a"}': "field 'key': expected a non-empty string, got nothing",
    b'{"type":"memory","key":"k"}': "field 'text': expected a string, got nothing",
    b'{"type":"content","text":{"a":1}}': "field 'text': expected a string, got {\"a\":1}",
    b'{"type":"dream"}': (
        "field 'type': expected one of branch, content, thinking, tool_result, log, memory, tool_call, got 'dream'"
    ),
    b'{"type":"content","section":"\\u001b[31m","text":"a"}': (
        "field 'section': expected one of system, identity, journal, conversation, got '\\x1b[31m'"
    ),
    b'{"text":"a"}': "field 'type': expected a non-empty string, got nothing",
    b"[1]": "expected a JSON object, got [1]",
    b"": "expected a JSON object, got an empty line",
    HEADER[:-1]: "field 'type': expected a node: a session has one header, on its first line, got 'session'",
    b'{"type":"content","section":"dreams","text":"a"}': (
        "field 'section': expected one of system, identity, journal, conversation, got 'dreams'"
    ),
    b'{"type":"content","section":3,"text":"a"}': (
        "field 'section': expected one of system, identity, journal, conversation, got 3"
    ),
    b'{"type":"branch","children":[]}': "field 'role': expected a non-empty string, got nothing",
    b'{"type":"branch","role":"user","children":{}}': "field 'children': expected a list of leaves, got {}",
    b'{"type":"branch","role":"user","children":[3]}': "field 'children[0]': expected a JSON object, got 3",
    b'{"type":"branch","role":"user","children":[{"type":"branch","role":"a"}]}': (
        "field 'children[0].type': expected a leaf: a branch cannot hold a branch, got 'branch'"
    ),
    b'{"type":"branch","role":"user","children":[{"type":"dream"}]}': (
        "field 'children[0].type': expected one of content, thinking, tool_result, log, memory, tool_call, got 'dream'"
    ),
    b'{"type":"branch","role":"user","children":[{"type":"content","section":"system","text":"a"}]}': (
        "field 'children[0].section': expected no section: children inherit their branch's section, got 'system'"
    ),
    b'{"type":"branch","role":"user","timestamp":17}': "field 'timestamp': expected an RFC 3339 time, got 17",
    b'{"type":"tool_call"}': "field 'name': expected a non-empty string, got nothing",
    b'{"type":"log","text":"' + b"a" * 99: "not JSON: Input data was truncated",
    b'{"type":"memory","key":["' + b"k" * 99 + b'"]}': (
        f"field 'key': expected a non-empty string, got [\"{'k' * 57}…"
    ),
}


@pytest.mark.parametrize("line", WRONG_NODES, ids=range(len(WRONG_NODES)))
def test_a_wrong_node_is_reported_with_file_line_and_field(line: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        read_native(HEADER + b'{"type":"log","text":""}\n' + line + b"\n", "notes.jsonl")
    assert str(caught.value) == f"notes.jsonl:3: {WRONG_NODES[line]}"


WRONG_HEADERS = {
    b'{"type":"log","text":"a"}': "field 'type': expected a header of type session on the first line, got 'log'",
    b'{"type":"session","id":"a"}': "field 'version': expected version 1, got nothing",
    b'{"type":"session","version":true,"id":"a"}': "field 'version': expected version 1, got true",
    b'{"type":"session","version":2,"id":"a"}': (
        "field 'version': expected version 1, which this memscope supports, got 2"
    ),
    b'{"type":"session","version":1}': "field 'id': expected a non-empty string, got nothing",
    b'{"type":"session","version":1,"id":"a","title":1}': "field 'title': expected a string, got 1",
}


@pytest.mark.parametrize("line", WRONG_HEADERS, ids=range(len(WRONG_HEADERS)))
def test_a_wrong_header_is_reported(line: bytes) -> None:
    with pytest.raises(SessionError) as caught:
        read_native(line + b"\n", "notes.jsonl")
    assert str(caught.value) == f"notes.jsonl:1: {WRONG_HEADERS[line]}"


def test_a_last_line_without_a_newline_is_read_when_it_is_whole_json() -> None:
    assert read_native(HEADER + b'{"type":"content","text":"whole"}', "s").nodes == (Content(text="whole"),)
    assert read_native(HEADER.rstrip(), "s").nodes == ()


@QUICK
@given(st.integers(1, len(EXAMPLE.splitlines()[-1]) - 1))
def test_a_last_line_that_was_cut_off_is_reported(kept: int) -> None:
    *whole, last = EXAMPLE.splitlines(keepends=True)
    with pytest.raises(SessionError) as caught:
        read_native(b"".join(whole) + last[:kept], "notes.jsonl")
    assert str(caught.value) == (
        "notes.jsonl:8: the last line has no newline and is not complete JSON: "
        "it was cut off, or is still being written"
    )


@pytest.mark.parametrize(
    "stamp",
    [
        "yesterday",
        "2026-11-20",
        "2026-11-20T10:00:00",
        "2026-02-30T10:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T10:00:00Z\n",
        "٢026-11-20T10:00:00Z",
    ],
)
def test_a_time_is_rfc_3339_and_in_the_calendar(stamp: str) -> None:
    turn = Branch(role="user", timestamp=stamp)
    with pytest.raises(SessionError, match="field 'timestamp': expected an RFC 3339 time such as"):
        read_native(written(turn), "notes.jsonl")


def test_what_cannot_be_written_is_one_line_too() -> None:
    with pytest.raises(SessionError, match="a memory cannot be written as JSON"):
        written(Memory(key="k", text="\ud800"))
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SessionError, match="a tool_call cannot be written as JSON"):
        written(ToolCall(name="f", arguments=deep))
