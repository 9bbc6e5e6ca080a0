"""Graphiti and Zep: JSON records or bullets in elements for facts, entities, episodes and communities."""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import elements
from memscope.session.rules.lists import lists_in
from memscope.session.rules.records import records

__all__ = ["RULE"]

_TAGS = ("FACTS", "ENTITIES", "EPISODES", "COMMUNITIES")


def _find(text: str) -> Iterator[Found]:
    for name in _TAGS:
        for element in elements(text, name):
            if text.find("{", element.body, element.body_end) >= 0:
                yield from records(text, element.body, element.body_end)
            else:
                yield from lists_in(text, element.body, element.body_end)
    for element in elements(text, "USER_SUMMARY"):
        yield Found(element.start, element.end, "user_summary", text[element.body : element.body_end].strip())


RULE = MemoryRule("graphiti", _find)
