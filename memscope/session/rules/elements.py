"""Find elements such as `<name …>…</name>` in a text, and the bullets or lines inside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from memscope.session.rules.base import Found
from memscope.session.rules.lists import lists_in

__all__ = ["Element", "attribute", "elements", "items"]

_ATTRIBUTE = re.compile(
    r"""(?:^|\s)(?P<name>key|path|label|name|id)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')"""
)
_LINE = re.compile(r"^[ \t]*(?P<text>\S[^\n]*)\n?", re.MULTILINE)


class Element(NamedTuple):
    """`<name …>…</name>` in a text: its attributes, its slice, and the slice of its body."""

    attributes: str
    start: int
    end: int
    body: int
    body_end: int


def elements(text: str, name: str, start: int = 0, end: int | None = None, gap: int = 1) -> Iterator[Element]:
    """Yield every element with a name between two positions, including up to `gap` line breaks after it."""
    stop = len(text) if end is None else end
    closing = f"</{name}>"
    if text.find(closing, start, stop) < 0:  # much cheaper than the search for opening tags, and usually so
        return
    opening = re.compile(rf"<{name}(?P<attributes>\s[^<>]*)?>")
    at = start
    while match := opening.search(text, at, stop):
        body_end = text.find(closing, match.end(), stop)
        if body_end < 0:
            return
        at = _behind_breaks(text, body_end + len(closing), stop, gap)
        yield Element(match["attributes"] or "", match.start(), at, match.end(), body_end)


def _behind_breaks(text: str, at: int, stop: int, most: int) -> int:
    end = at
    while end < min(stop, at + most) and text[end] == "\n":
        end += 1
    return end


def attribute(attributes: str, *names: str) -> str | None:
    """Return the value of the first of these attributes that an element has."""
    found = {m["name"]: (m["double"] or m["single"] or "").strip() for m in _ATTRIBUTE.finditer(attributes)}
    return next((found[name] for name in names if found.get(name)), None)


def items(text: str, element: Element) -> Iterator[Found]:
    """Yield the list items of an element, or else its lines, unless it has elements of its own.

    Text around items is an introduction and is skipped.
    """
    start = element.body + (text[element.body : element.body + 1] == "\n")
    found = list(lists_in(text, start, element.body_end))
    if not found and text.find("<", start, element.body_end) < 0:
        found = list(_lines_of(text, start, element.body_end))
    yield from found


def _lines_of(text: str, start: int, end: int) -> Iterator[Found]:
    for match in _LINE.finditer(text, start, end):
        yield Found(match.start(), match.end(), None, match["text"].strip())
