"""`<memory key="…">…</memory>`."""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import attribute, elements

__all__ = ["RULE"]


def _find(text: str) -> Iterator[Found]:
    for element in elements(text, "memory"):
        if key := attribute(element.attributes, "key"):
            yield Found(element.start, element.end, key, text[element.body : element.body_end])


RULE = MemoryRule("tags", _find)
