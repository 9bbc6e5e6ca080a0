"""`<memory>…</memory>` without a key: named after its `id`, `name`, `path` or `label`, or else numbered."""

from __future__ import annotations

from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import Element, attribute, elements

__all__ = ["RULE"]

_PROSE = frozenset({"", "and", "or", "to", "…", "..."})
"""Bodies of elements that a sentence mentions: "between <memory> and </memory>"."""


def _find(text: str) -> Iterator[Found]:
    for outer in elements(text, "memory"):
        element = _innermost(text, outer)
        content = text[element.body : element.body_end].strip()
        if content.lower() not in _PROSE:
            key = attribute(element.attributes, "key", "id", "name", "path", "label")
            yield Found(element.start, element.end, key, content)


def _innermost(text: str, outer: Element) -> Element:
    """Return the element of the last opening tag before the closing one, because memories are not nested."""
    inner = text.rfind("<memory", outer.body, outer.body_end)
    return outer if inner < 0 else next(elements(text, "memory", inner, outer.end), outer)


RULE = MemoryRule("unkeyed", _find, numbered=True)
