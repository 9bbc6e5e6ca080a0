"""Each paragraph of the system prompt is one memory: for prompts whose memories have no recognisable form.

A heading, or a line that ends with a colon, belongs to the paragraph after it, and an indented paragraph to the one
before it; a fenced code block is never split.
"""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.headings import heading_of
from memscope.session.rules.lists import FENCE, SUB_ITEM_INDENT, lines

__all__ = ["RULE"]


def _find(text: str) -> Iterator[Found]:
    start: int | None = None
    introduces = blank_before = in_fence = False
    for line in lines(text, 0, len(text)):
        if line.is_blank:
            blank_before = True
            continue
        if start is None:
            start = line.start
        elif blank_before and not (introduces or in_fence or line.indent >= SUB_ITEM_INDENT):
            yield _paragraph(text, start, line.start)
            start = line.start
        in_fence ^= FENCE.match(line.text) is not None
        introduces, blank_before = not in_fence and heading_of(line) is not None, False
    if start is not None:
        yield _paragraph(text, start, len(text))


def _paragraph(text: str, start: int, end: int) -> Found:
    return Found(start, end, None, text[start:end].strip())


RULE = MemoryRule("paragraphs", _find, origins=("system",), by_default=False)
