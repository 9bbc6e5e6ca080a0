"""Lists under a heading or a line that says memories: `## Memories`, `**About the user:**`, `Notes:`.

Under a general heading, such as "Notes" or "Context", a list with instructions is left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.headings import Heading, Level, heading_of, is_instruction
from memscope.session.rules.lists import FENCE, Line, line_at, list_at, starts_item

__all__ = ["RULE"]

_TITLE = re.compile(r"^(?:[ \t]{0,12}[#*_<][^\n]{0,200}|[^\n]{1,200}:)[ \t\r]{0,20}$", re.MULTILINE)
"""A line that `heading_of` may accept: a quick test, so that long texts are not read line by line."""

_FENCED_LINE = re.compile(rf"^{FENCE.pattern}", re.MULTILINE)


def _find(text: str) -> Iterator[Found]:
    fences = _Fences(text)
    at = 0
    while title := _TITLE.search(text, at):
        line = line_at(text, title.start(), len(text))
        at = line.end
        heading = heading_of(line)
        if heading and heading.says_memories and not fences.enclose(line.start):
            section = _Section(text, heading, line.end, fences)
            yield from section.items()
            at = section.end


class _Fences:
    """The fenced code blocks of a text, which have no headings and no items."""

    def __init__(self, text: str) -> None:
        self._starts = [fence.start() for fence in _FENCED_LINE.finditer(text)]

    def enclose(self, at: int) -> bool:
        """Return whether a position is inside a fenced block."""
        return bool(self._starts) and bisect_right(self._starts, at) % 2 == 1

    def closing(self, at: int) -> int | None:
        """Return where the fence after a position begins."""
        following = bisect_right(self._starts, at)
        return self._starts[following] if following < len(self._starts) else None


class _Section:
    """What a heading introduces.

    Attributes:
        end: Where reading stopped: the end of the section, once all items were taken.
    """

    def __init__(self, text: str, heading: Heading, start: int, fences: _Fences) -> None:
        self._text, self._heading, self._fences = text, heading, fences
        self._takes, self._is_certain = True, heading.is_certain
        self.end = start

    def items(self) -> Iterator[Found]:
        """Yield the items of its lists, except of those that a subheading introduces as instructions."""
        while self.end < len(self._text):
            line = line_at(self._text, self.end, len(self._text))
            if starts_item(line.text):
                yield from self._list(line)
                if self._heading.level == Level.LABEL:
                    return
            elif not self._passes(line):
                return

    def _list(self, first: Line) -> Iterator[Found]:
        items = list(list_at(self._text, first.start, len(self._text)))
        self.end = items[-1].end if items else first.end
        if self._takes and (self._is_certain or not any(is_instruction(item.text) for item in items)):
            yield from items

    def _passes(self, line: Line) -> bool:
        """Go past a line that begins no item, and return whether the section goes on."""
        if self._heading.level == Level.LABEL:
            if not line.is_blank:
                return False
        elif heading := heading_of(line):
            if heading.level <= self._heading.level or not self._covers(heading):
                return False
            self._takes = not heading.says_instructions
            self._is_certain = self._heading.is_certain or heading.is_certain
        self.end = self._past(line)
        return True

    def _covers(self, heading: Heading) -> bool:
        return heading.level == Level.LABEL or self._heading.is_certain

    def _past(self, line: Line) -> int:
        if not FENCE.match(line.text):
            return line.end
        closing = self._fences.closing(line.start)
        return len(self._text) if closing is None else line_at(self._text, closing, len(self._text)).end


RULE = MemoryRule("markdown", _find, origins=("system", "user"))
