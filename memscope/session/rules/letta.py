"""Letta: memory blocks and the projected files of a memory folder."""

from __future__ import annotations

import re
from collections.abc import Iterator

from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.elements import Element, attribute, elements

__all__ = ["RULE"]

_OPENING = re.compile(r"<(?P<name>[A-Za-z_][^\s<>]*)>")
_CLOSING = re.compile(r"</(?P<name>[^\s<>]+)>")
_PROJECTION_PATH = re.compile(r"\s*(?:\$MEMORY_DIR/)?(?P<key>[^\s<>]+?)\.md\s*")
_HOLDER = re.compile(r"<(?P<name>[A-Za-z_][^\s<>]*)>\s*\Z")
_HOLDER_REACH = 300


def _find(text: str) -> Iterator[Found]:
    for blocks in elements(text, "memory_blocks"):
        yield from _letta_blocks(text, blocks)
    for element in elements(text, "self", gap=2):
        yield Found(element.start, element.end, "self", text[element.body : element.body_end].strip())
    for element in elements(text, "memory"):
        yield from _letta_projections(text, element)


def _letta_blocks(text: str, blocks: Element) -> Iterator[Found]:
    last = {match["name"]: match.start() for match in _CLOSING.finditer(text, blocks.body, blocks.body_end)}
    at = blocks.body
    while opening := _OPENING.search(text, at, blocks.body_end):
        at, label = opening.end(), opening["name"]
        if last.get(label, -1) < at:
            continue
        block = next(elements(text, re.escape(label), opening.start(), blocks.body_end, gap=2), None)
        if block is None:
            continue
        at = block.end
        for value in elements(text, "value", block.body, block.body_end):
            yield Found(block.start, block.end, label, text[value.body : value.body_end].strip())
            break


def _letta_projections(text: str, memory: Element) -> Iterator[Found]:
    """Yield the files of a memory folder; a projection contains the file's text, optionally after its path."""
    at = memory.body
    for projection in elements(text, "projection", memory.body, memory.body_end):
        if projection.start < at:
            continue
        body = text[projection.body : projection.body_end]
        path = _PROJECTION_PATH.fullmatch(body)
        holder = _holder(text, projection, memory) if path else None
        if path and holder:
            yield Found(holder.start, holder.end, path["key"], text[projection.end : holder.body_end].strip())
        else:
            key = attribute(projection.attributes, "path", "label", "name", "id")
            yield Found(projection.start, projection.end, key, body.strip())
        at = (holder or projection).end


def _holder(text: str, projection: Element, memory: Element) -> Element | None:
    reach = max(memory.body, projection.start - _HOLDER_REACH)
    opening = _HOLDER.search(text, reach, projection.start)
    if opening is None:
        return None
    return next(elements(text, re.escape(opening["name"]), opening.start(), memory.body_end), None)


RULE = MemoryRule("letta", _find)
