"""Graphiti and Zep: JSON records or bullets in elements for facts, entities, episodes and communities."""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import BULLET, Element, elements
from memscope.session.rules.records import records

__all__ = ["RULE"]

_TAGS = ("FACTS", "ENTITIES", "EPISODES", "COMMUNITIES")


def _find(text: str) -> Iterator[Found]:
    for name in _TAGS:
        for element in elements(text, name):
            if text.find("{", element.body, element.body_end) >= 0:
                yield from records(text, element.body, element.body_end)
            else:
                yield from _bullets(text, element)
    for element in elements(text, "USER_SUMMARY"):
        yield Found(element.start, element.end, "user_summary", text[element.body : element.body_end].strip())


def _bullets(text: str, element: Element) -> Iterator[Found]:
    for match in BULLET.finditer(text, element.body, element.body_end):
        yield Found(match.start(), match.end(), None, match["text"].strip())


RULE = MemoryRule("graphiti", _find)
