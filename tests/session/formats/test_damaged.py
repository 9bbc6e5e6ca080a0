"""Damaged example files are read as far as they make sense, or reported in one clear line."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.errors import SessionError
from memscope.session.detectors import Detector
from memscope.session.formats.registry import format_named
from memscope.session.nodes import Session
from tests.session.formats.examples import EXAMPLES, example, format_name
from tests.session.strategies import JSON, QUICK

DOCUMENTS = [name for name in EXAMPLES if not name.endswith((".eval", ".jsonl"))]
LINES = [name for name in EXAMPLES if name.endswith(".jsonl")]
MISSING = object()


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a JSON value that holds another: the container, and the name or index."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from places(inner)


def damaged(value: Any, draw: st.DataObject) -> Any:
    """Return a copy with one value removed or replaced."""
    holder = [copy.deepcopy(value)]
    container, key = draw.draw(st.sampled_from(list(places(holder))))
    new = draw.draw(st.just(MISSING) | JSON)
    if new is MISSING:
        del container[key]
    else:
        container[key] = new
    return holder[0] if holder else []


def read_as(name: str, data: bytes) -> Session | str:
    """Return the session in a file, or the error about it."""
    try:
        return format_named(name).read(data, "the file", Detector)
    except SessionError as error:
        return str(error)


def assert_a_session_or_one_line(found: Session | str) -> None:
    if isinstance(found, str):
        assert found.startswith("the file")
        assert "\n" not in found
    else:
        assert found.header.id


@settings(QUICK, max_examples=200)
@given(st.sampled_from(DOCUMENTS), st.data())
def test_a_damaged_document_is_a_session_or_one_clear_line(name: str, draw: st.DataObject) -> None:
    document = json.loads(example(name))
    while isinstance(document, str):
        document = json.loads(document)
    data = json.dumps(damaged(document, draw)).encode()
    assert_a_session_or_one_line(read_as(format_name(name), data))


@QUICK
@given(st.sampled_from(LINES), st.data())
def test_a_file_with_a_damaged_line_is_a_session_or_one_clear_line(name: str, draw: st.DataObject) -> None:
    lines = [json.loads(line) for line in example(name).splitlines() if line]
    data = "\n".join(json.dumps(line) for line in damaged(lines, draw)).encode()
    assert_a_session_or_one_line(read_as(format_name(name), data))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_file_that_was_cut_off_is_a_session_or_one_clear_line(name: str) -> None:
    data = example(name)
    for part in (data[: len(data) // 2], data[:-20]):
        assert_a_session_or_one_line(read_as(format_name(name), part))


@pytest.mark.parametrize("depth", [200, 900, 100_000])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_value_that_is_nested_deeply_is_a_session_or_one_clear_line(name: str, depth: int) -> None:
    text = example(name).decode()
    deep = "[" * depth + "]" * depth
    for call in ('{"cmd": "ss -l"}', '{"command": "ss -l"}', '"type": "text"'):
        assert_a_session_or_one_line(read_as(format_name(name), text.replace(call, deep).encode()))
