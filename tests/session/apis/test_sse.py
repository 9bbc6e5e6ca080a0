from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.session.apis.sse import is_event_stream, streamed_objects
from tests.session.strategies import JSON, QUICK, TEXTS

OBJECTS = st.lists(st.dictionaries(TEXTS, JSON, max_size=2), max_size=4)


@QUICK
@given(
    OBJECTS, st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from(["", ": ping", "event: a", "id: 1"]), st.booleans()
)
def test_a_stream_holds_the_objects_of_its_events(objects: list[Any], end: str, other: str, indented: bool) -> None:
    events = [json.dumps(one, indent=1 if indented else None).splitlines() for one in objects]
    lines = [line for event in events for line in (other, *(f"data: {data}" for data in event), "")]
    body = "\ufeff" + end.join([*lines, "data: [DONE]", "", ""])
    assert streamed_objects(body.encode()) == (objects, False)


@pytest.mark.parametrize(
    ("body", "objects", "damaged"),
    [
        (b"", [], False),
        (b'data: {"a":1}', [{"a": 1}], False),
        (b'data:{"a":1}\n\ndata: {"a', [{"a": 1}], False),
        (b'data: {"a":1}\n\ndata: oops\n\ndata: {"b":1}\n\n', [{"a": 1}], True),
        (b'data: {"a":1}\n\ndata: [1]\n\n', [{"a": 1}], True),
        (b'data: {"a":"\xff"}\n\n', [{"a": "\ufffd"}], False),
        (b"data: " + b"[" * 100_000 + b"\n\n", [], True),
        (b"data\n\n", [], True),
    ],
    ids=range(8),
)
def test_a_damaged_stream_is_read_up_to_the_damage(body: bytes, objects: list[Any], damaged: bool) -> None:
    assert streamed_objects(body) == (objects, damaged)


def test_a_stream_is_told_from_other_bodies_by_its_beginning() -> None:
    assert all(
        map(is_event_stream, (b"data: {}", b"\n\nevent: a\n", b": ping\n\n", b"\xef\xbb\xbfdata:", b"id: 1\nretry: 3"))
    )
    assert not any(map(is_event_stream, (b"", b'{"data": 1}', b"<html>", b"data", b"[1]")))
