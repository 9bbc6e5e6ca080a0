"""Exact marks in every format whose files the user can mark."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memscope.session.advice import MARKABLE
from memscope.session.detectors import Detector
from memscope.session.formats.registry import format_named

BEFORE, MARKED, AFTER = "Notes:\n- Mira likes ", "green tea", " a lot\n- Mira has a cat\n"


def blocks(kind: str = "text") -> list[dict[str, Any]]:
    texts: list[dict[str, Any]] = [{"type": kind, "text": text} for text in (BEFORE, MARKED, AFTER)]
    texts[1]["memory"] = {"key": "tea"}
    return texts


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


MARKS = {
    "chat": json.dumps([{"role": "user", "content": blocks()}]),
    "chat-lines": lines({"role": "user", "content": blocks()}),
    "recording": lines(
        {"type": "recording", "version": 1, "id": "a"},
        {"type": "message", "id": "m", "role": "user", "content": blocks()},
        {"type": "message", "id": "n", "role": "assistant", "content": []},
        {"type": "call", "id": "c", "prompt": ["m"], "response": "n", "status": "complete"},
    ),
    "anthropic": json.dumps({"system": blocks(), "messages": [{"role": "user", "content": "Tea?"}]}),
    "responses": json.dumps({"model": "m", "input": [{"role": "user", "content": blocks("input_text")}]}),
    "langchain": json.dumps([{"type": "human", "data": {"content": blocks()}}]),
    "langchain-lines": lines({"type": "human", "data": {"content": blocks()}}),
}


def test_there_is_an_example_of_every_format_that_can_be_marked() -> None:
    assert tuple(MARKS) == MARKABLE


@pytest.mark.parametrize("name", MARKS)
def test_a_mark_is_a_memory_and_a_rule_takes_no_part_of_an_item_around_it(name: str) -> None:
    session = format_named(name).read(MARKS[name].encode(), "file", Detector)
    assert session.source.format == name
    assert session.source.rules == {"mark": ("tea",)}
