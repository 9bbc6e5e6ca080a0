"""Mem0: bullets under `User Memories:`, facts in a user message, and its XML elements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import elements, items
from memscope.session.rules.lists import list_at

__all__ = ["RULE"]

_HEADER = re.compile(r"^[ \t]*(?:#+[ \t]*)?User Memories:[ \t]*\n", re.MULTILINE)
_FACTS = re.compile(r"^[ \t]*-[ \t]*Relevant Memories/Facts:[ \t]*\n?", re.MULTILINE)
_FACT = re.compile(r"(?![ \t]*-[ \t]*(?:Entities|User Question|Relevant Memories/Facts):)[ \t]*(?P<text>\S[^\n]*)\n?")
_TAGS = ("mem0-relevant-memories", "relevant-memories")


def _find(text: str) -> Iterator[Found]:
    for words, title, memories in (("User Memories:", _HEADER, list_at), ("Relevant Memories/Facts:", _FACTS, _facts)):
        if words not in text:  # much faster than the pattern
            continue
        at = 0
        while match := title.search(text, at):
            at = match.end()
            for found in memories(text, at, len(text)):
                yield found
                at = found.end
    for name in _TAGS:
        for element in elements(text, name):
            yield from items(text, element)


def _facts(text: str, start: int, end: int) -> Iterator[Found]:
    """Yield the facts after a title, one per line, up to the next title."""
    at = start
    while match := _FACT.match(text, at, end):
        yield Found(match.start(), match.end(), None, match["text"].strip())
        at = match.end()


RULE = MemoryRule("mem0", _find)
