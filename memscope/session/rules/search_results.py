"""What a memory search returned as plain text: each item of a list or else each line is a memory.

It is applied only where it is named: a line may be a part of a memory, or say that nothing was found. Results in JSON
are for other rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.headings import heading_of
from memscope.session.rules.lists import lines, lists_in

__all__ = ["RULE"]


def _find(_: str) -> Iterator[Found]:
    return iter(())


def _find_in_results(text: str) -> Iterator[Found]:
    items = list(lists_in(text, 0, len(text)))
    yield from items or _lines(text)


def _lines(text: str) -> Iterator[Found]:
    if text.lstrip()[:1] in ("{", "["):
        return
    for line in lines(text, 0, len(text)):
        if not line.is_blank and not heading_of(line):
            yield Found(line.start, line.end, None, line.text.strip())


RULE = MemoryRule("search-results", _find, find_in_results=_find_in_results, origins=("tool",), by_default=False)
