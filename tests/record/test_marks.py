from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.record.marks import without_marks
from tests.session.strategies import JSON, QUICK, TEXTS

MARK = st.just({"key": "k"})
BLOCK = st.fixed_dictionaries(
    {"type": st.just("text"), "text": TEXTS}, optional={"memory": MARK, "note": JSON, "cache_control": JSON}
)
RESULT = st.fixed_dictionaries({"type": st.just("tool_result"), "content": st.lists(BLOCK, max_size=2)})
MESSAGE = st.fixed_dictionaries(
    {"role": st.just("user"), "content": TEXTS | st.lists(BLOCK | RESULT, max_size=3)},
    optional={"memory": MARK, "name": TEXTS},
)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "memory": JSON,
        "messages": st.lists(MESSAGE, max_size=3),
        "system": st.lists(BLOCK, max_size=2),
        "input": st.lists(MESSAGE, max_size=2),
        "tools": st.just([{"name": "f", "parameters": {"properties": {"memory": {"key": "string"}}}}]),
    },
)


def unmarked(value: Any, *, inside: bool = False) -> Any:
    """Return a body without its marks, by another way: decoded and with the fields left out."""
    if isinstance(value, list):
        return [unmarked(item, inside=True) for item in value]
    if not isinstance(value, dict):
        return value
    holders = ("content", "output") if inside else ("messages", "system", "input")
    return {
        name: unmarked(held, inside=inside) if name in holders and isinstance(held, list) else held
        for name, held in value.items()
        if not (inside and name == "memory" and held == {"key": "k"})
    }


@QUICK
@given(BODY, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]), st.booleans(), st.sampled_from([None, 2]))
def test_what_remains_is_the_body_without_its_marks(
    body: dict[str, Any], separators: tuple[str, str], ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps(body, separators=separators, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    cut = without_marks(data)
    assert json.loads(cut) == unmarked(json.loads(data))
    assert (cut is data) == (unmarked(json.loads(data)) == json.loads(data))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"role":"user","memory":{"key":"a"},"content":"x"}', '{"role":"user","content":"x"}'),
        ('{ "memory": {"key": "a"} , "content" : "x" }', '{ "content" : "x" }'),
        ('{"content": "é\\u00e9" , "memory" : { "key" : "a" } }', '{"content": "é\\u00e9" }'),
        ('{"memory":{"key":"a"}}', "{}"),
        ('{"memory":{"key":"a"},"memory":{"key":"b"},"x":1.50}', '{"x":1.50}'),
        ('{"x":1e2,"memory":{"key":"a"},"memory":{"key":"b"}}', '{"x":1e2}'),
        ('{"x":1,"m\\u0065mory":{"key":"a"}}', '{"x":1}'),
        (
            '{"memory":{"key":"a"},"content":[{"memory":{"key":"b"},"text":"\\ud83d"}]}',
            '{"content":[{"text":"\\ud83d"}]}',
        ),
    ],
)
def test_every_other_byte_stays(before: str, after: str) -> None:
    body = '\ufeff {"model":"m","messages":[ %s , {"content":[]}],"n":1.0}'
    assert without_marks((body % before).encode()) == (body % after).encode()


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[{"role":"user","content":"no mark"}]}',
        b'{"memory":{"key":"a"},"messages":[]}',
        b'{"messages":[{"memory":"not a mark"}]}',
        b'{"messages":[{"memory":{"key":""}}]}',
        b'{"messages":[{"tool_calls":[{"function":{"memory":{"key":"a"}}}]}]}',
        b'{"tools":[{"memory":{"key":"a"}}]}',
        b'{"messages":[{"memory":{"key":"a"}}',
        b'{"messages":[{"memory":{"key":"a"}}]}]',
        b'"memory"',
        b'[{"memory":{"key":"a"}}]',
        b'{"messages":' + b"[" * 100_000 + b'"memory"',
        b"",
    ],
    ids=range(12),
)
def test_a_body_without_marks_is_the_same_object(body: bytes) -> None:
    assert without_marks(body) is body


def test_bytes_that_are_not_utf_8_stay() -> None:
    assert (
        without_marks(b'{"messages":[{"content":"\xff","memory":{"key":"a"}}]}') == b'{"messages":[{"content":"\xff"}]}'
    )
