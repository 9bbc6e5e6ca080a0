"""ChatGPT: the dated list under `Model Set Context`, `1. [2024-05-01]. The user …`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.lists import Line, lines

__all__ = ["RULE"]

_TITLE = "Model Set Context"
_DATED = re.compile(r"[ \t]*(?:\d{1,9}[.)]|[-*•])[ \t]+\[\d{4}-\d{2}-\d{2}\]\.?(?=[ \t]|\Z)")


def _find(text: str) -> Iterator[Found]:
    item: _Item | None = None
    in_list = False
    for line in lines(text, 0, len(text)) if _TITLE in text else ():
        if line.text.lstrip(" \t#*").startswith(_TITLE) or line.text.startswith("#"):
            if item:
                yield item.found(text)
            item, in_list = None, _TITLE in line.text
        elif in_list and _DATED.match(line.text):
            if item:
                yield item.found(text, following=line.start)
            item = _Item(line, is_loose=item is not None and item.is_complete)
        elif item:
            item.add(line)
    if item:
        yield item.found(text)


class _Item:
    """One dated item: it goes on to the next one, the last item to the first blank line.

    Attributes:
        is_complete: Whether a blank line was added.
    """

    def __init__(self, first: Line, *, is_loose: bool) -> None:
        self._start, self._end = first.start, first.end
        self._is_loose = is_loose
        self.is_complete = False
        marker = _DATED.match(first.text)
        self._text = first.start + (marker.end() if marker else 0)

    def add(self, line: Line) -> None:
        """Add a line after the first one; only if another item follows, lines after a blank one belong to this one."""
        if not self.is_complete and (self._is_loose or not line.is_blank):
            self._end = line.end
        self.is_complete |= line.is_blank

    def found(self, text: str, following: int | None = None) -> Found:
        """Return the memory; `following` is where the next item begins."""
        end = self._end if following is None else following
        return Found(self._start, end, None, text[self._text : end].strip())


RULE = MemoryRule("chatgpt", _find, origins=("system", "user"))
