"""Find Markdown list items in a text: bullets and numbered items, each with everything that belongs to it.

An item is never split and never joined with another: its continuation lines, sub-items and indented paragraphs belong
to it. Prompts are less regular than Markdown, so an unindented line after an item belongs to it only if it continues
the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from memscope.session.rules.base import Found

__all__ = ["FENCE", "SUB_ITEM_INDENT", "Line", "line_at", "lines", "list_at", "lists_in", "starts_item"]

FENCE = re.compile(r"[ ]{0,3}(?:```|~~~)")
"""The beginning of a line that opens or closes a fenced code block."""

SUB_ITEM_INDENT = 2
"""A line indented this much more than an item belongs to it, in columns."""

_MARKER = re.compile(r"[ \t]*(?P<marker>[-*+•‣–]|\d{1,9}[.)])[ \t]+(?=\S)")
_WRAPPED_LENGTH = 60
"""A line this long without a full stop at its end is taken to be wrapped."""

_TAB_WIDTH = 4
_SENTENCE_ENDS = (".", "!", "?", ":", ";")


class Line(NamedTuple):
    """One line of a text: [start, end) in characters including its line break, and its text without it."""

    start: int
    end: int
    text: str

    @property
    def is_blank(self) -> bool:
        """Whether the line has no text."""
        return not self.text or self.text.isspace()

    @property
    def indent(self) -> int:
        """The width of the white space at its beginning, in columns."""
        space = self.text[: len(self.text) - len(self.text.lstrip(" \t"))]
        return len(space.expandtabs(_TAB_WIDTH))


def line_at(text: str, start: int, end: int) -> Line:
    """Return the line that begins at a position and stops before `end`."""
    stop = text.find("\n", start, end)
    return Line(start, end, text[start:end]) if stop < 0 else Line(start, stop + 1, text[start:stop])


def lines(text: str, start: int, end: int) -> Iterator[Line]:
    """Yield the lines between two positions."""
    at = start
    while at < end:
        line = line_at(text, at, end)
        yield line
        at = line.end


def starts_item(line: str) -> bool:
    """Return whether a line begins a list item."""
    return _MARKER.match(line) is not None and not _is_divider(line)


def _is_divider(line: str) -> bool:
    """Return whether a line is a thematic break such as `---` or `* * *`."""
    marks = line.replace(" ", "").replace("\t", "").rstrip("\r")
    return len(marks) >= 3 and marks[0] in "-*_" and not marks.strip(marks[0])


def lists_in(text: str, start: int, end: int) -> Iterator[Found]:
    """Yield the items of every list between two positions."""
    at = start
    while at < end:
        line = line_at(text, at, end)
        at = line.end
        if starts_item(line.text):
            for item in list_at(text, line.start, end):
                yield item
                at = item.end


def list_at(text: str, start: int, end: int) -> Iterator[Found]:
    """Yield the items of the list that begins with the line at a position; nothing if it is no list item.

    In a list with blank lines between its items, each item includes the blank lines after it. Where unindented lines
    stand between the numbers of a list, each item is the whole block of lines.
    """
    first: Line | None = line_at(text, start, end)
    loose = in_blocks = False
    while first is not None and (marker := _MARKER.match(text, first.start, end)) and not _is_divider(first.text):
        item = _ItemLines(first)
        following = item.extend(text, end)
        if following is not None and item.may_go_on_with(following):
            in_blocks = in_blocks or _number_after_block(text, following.start, end) == _number(first.text) + 1
            following = item.extend(text, end, whole_block=True) if in_blocks else following
        is_next = following is not None and starts_item(following.text)
        loose = item.has_blanks_after and (is_next or loose)
        yield Found(first.start, item.blanks_end if loose else item.end, None, text[marker.end() : item.end].strip())
        first = following


class _ItemLines:
    """The lines of one item while they are collected.

    Attributes:
        first: The line with the marker.
        end: Where its last line ends.
        blanks_end: Where the blank lines after it end.
    """

    def __init__(self, first: Line) -> None:
        self.first = first
        self.end = self.blanks_end = first.end
        self._last = first

    def extend(self, text: str, end: int, *, whole_block: bool = False) -> Line | None:
        """Add the lines that belong to the item, or all up to a blank one, and return the first one that does not."""
        while self.blanks_end < end:
            line = line_at(text, self.blanks_end, end)
            if line.is_blank:
                self.blanks_end = line.end
            elif self._belongs(line) or (whole_block and self.may_go_on_with(line)):
                self.end = self.blanks_end = line.end
                self._last = line
            else:
                return line
        return None

    def may_go_on_with(self, line: Line) -> bool:
        """Return whether a line follows a numbered item at once and begins no other item."""
        return _is_numbered(self.first.text) and not self.has_blanks_after and not starts_item(line.text)

    @property
    def has_blanks_after(self) -> bool:
        """Whether the lines after the last one are blank."""
        return self.blanks_end > self.end

    def _belongs(self, line: Line) -> bool:
        if line.indent >= self.first.indent + SUB_ITEM_INDENT:
            return True
        if self.has_blanks_after:
            return False
        if starts_item(line.text):
            return _is_numbered(self.first.text) and not _is_numbered(line.text)
        return self._continues_sentence(line.text)

    def _continues_sentence(self, line: str) -> bool:
        start = line.lstrip()
        if start.startswith(("#", "<", "```", "~~~")) or _is_divider(line) or line.rstrip().endswith(":"):
            return False
        last = self._last.text.rstrip()
        if last.endswith(_SENTENCE_ENDS):
            return False
        return start[:1].islower() or len(last) >= _WRAPPED_LENGTH


def _number_after_block(text: str, start: int, end: int) -> int | None:
    """Return the number of the item that follows some lines and a blank one; None if anything else does."""
    blank_before = False
    for line in lines(text, start, end):
        if line.is_blank:
            blank_before = True
        elif blank_before or starts_item(line.text):
            return _number(line.text) if blank_before and _is_numbered(line.text) and starts_item(line.text) else None
    return None


def _number(line: str) -> int:
    """Return the number at the beginning of a numbered item."""
    digits = re.match(r"\s*(\d{1,9})", line)
    return int(digits[1]) if digits else 0


def _is_numbered(line: str) -> bool:
    return line.lstrip()[:1].isdigit()
