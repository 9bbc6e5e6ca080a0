"""LangMem: `<memories>` elements and results of memory searches."""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import attribute, elements, items
from memscope.session.rules.records import records

__all__ = ["RULE"]


def _find(text: str) -> Iterator[Found]:
    for element in elements(text, "memories"):
        memories = list(elements(text, "memory", element.body, element.body_end))
        for memory in memories:
            key = attribute(memory.attributes, "key", "id", "name")
            yield Found(memory.start, memory.end, key, text[memory.body : memory.body_end].strip())
        if not memories:
            yield from items(text, element)


def _find_in_results(text: str) -> Iterator[Found]:
    """Find the records in a result of LangMem's `search_memory` tool or one like it."""
    return records(text, 0, len(text))


RULE = MemoryRule("langmem", _find, find_in_results=_find_in_results)
