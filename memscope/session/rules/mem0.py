"""Mem0: bullets under `User Memories:`, facts in a user message, and its XML elements."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import BULLET, elements, items

__all__ = ["RULE"]

_HEADER = re.compile(r"^[ \t]*(?:#+[ \t]*)?User Memories:[ \t]*\n", re.MULTILINE)
_FACTS = re.compile(r"^[ \t]*-[ \t]*Relevant Memories/Facts:[ \t]*\n?", re.MULTILINE)
_FACT = re.compile(r"(?![ \t]*-[ \t]*(?:Entities|User Question|Relevant Memories/Facts):)[ \t]*(?P<text>\S[^\n]*)\n?")
_TAGS = ("mem0-relevant-memories", "relevant-memories")


def _find(text: str) -> Iterator[Found]:
    for pattern, line in ((_HEADER, BULLET), (_FACTS, _FACT)):
        at = 0
        while header := pattern.search(text, at):
            at = header.end()
            for found in _following_lines(text, at, len(text), line):
                yield found
                at = found.end
    for name in _TAGS:
        for element in elements(text, name):
            yield from items(text, element)


def _following_lines(text: str, start: int, end: int, line: re.Pattern[str]) -> Iterator[Found]:
    """Yield consecutive lines that match a pattern, starting at a position."""
    at = start
    while at < end and (match := line.match(text, at, end)):
        yield Found(match.start(), match.end(), None, match["text"].strip())
        at = match.end()


RULE = MemoryRule("mem0", _find)
