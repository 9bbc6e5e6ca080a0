"""Find the memories of one block of lines: the items of a list, or else its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memscope.session.rules.base import Found
from memscope.session.rules.lists import Line, lines, list_at

__all__ = ["block_lines", "items_at", "named_line"]

_NAMED = re.compile(r"[ \t]*(?P<name>\w[\w /-]{0,40}):[ \t]+(?P<value>\S.*)")


def items_at(text: str, start: int) -> Iterator[Found]:
    """Yield the items of the list that begins with the line at a position.

    If that line is no list item, each line up to a blank one is a memory, `name: value` with the key `name`.
    """
    in_list = False
    for item in list_at(text, start, len(text)):
        in_list = True
        yield item
    if not in_list:
        yield from map(_of_line, block_lines(text, start))


def block_lines(text: str, start: int) -> Iterator[Line]:
    """Yield the lines from a position up to a blank one."""
    for line in lines(text, start, len(text)):
        if line.is_blank:
            return
        yield line


def named_line(line: str) -> tuple[str, str] | None:
    """Return name and value of a line such as `city: Lisbon`; None if it is none."""
    match = _NAMED.match(line)
    return (match["name"], match["value"]) if match else None


def _of_line(line: Line) -> Found:
    name, value = named_line(line.text) or (None, line.text.strip())
    return Found(line.start, line.end, name, value)
