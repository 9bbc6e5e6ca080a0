"""The shapes in which memory systems write memories into text, each a rule with a name.

A rule is a function from a text to the slices in it that are memories. A slice is what is left out when its memory is:
the whole bullet, element or record with what separates it from the next, so that the rest reads as it would have
without that memory. Of a JSON list's records the last one has no comma of its own: leaving out that one alone leaves
the comma before it.

Text comes from anywhere, so each rule takes time in proportion to its length: closing tags are looked up rather than
matched by backtracking, and a record that does not parse is not parsed again from within.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["RULES", "Found", "MemoryRule", "langmem_results"]


class Found(NamedTuple):
    """One memory in a text: [start, end) in characters, its key, or None to make one from `text`."""

    start: int
    end: int
    key: str | None
    text: str


MemoryRule = Callable[[str], Iterator[Found]]


class _Element(NamedTuple):
    """`<name …>…</name>` in a text: attributes, whole slice, and the slice of what it holds."""

    attributes: str
    start: int
    end: int
    body: int
    body_end: int


_ATTRIBUTE = re.compile(
    r"""(?:^|\s)(?P<name>key|path|label|name|id)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')"""
)
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\d+[.)])[ \t]+(?P<text>\S[^\n]*)\n?", re.MULTILINE)
_LINE = re.compile(r"^[ \t]*(?P<text>\S[^\n]*)\n?", re.MULTILINE)
_MEM0_HEADER = re.compile(r"^[ \t]*(?:#+[ \t]*)?User Memories:[ \t]*\n", re.MULTILINE)
_MEM0_FACTS = re.compile(r"^[ \t]*-[ \t]*Relevant Memories/Facts:[ \t]*\n?", re.MULTILINE)
_MEM0_FACT = re.compile(
    r"(?![ \t]*-[ \t]*(?:Entities|User Question|Relevant Memories/Facts):)[ \t]*(?P<text>\S[^\n]*)\n?"
)
_MEM0_TAGS = ("mem0-relevant-memories", "relevant-memories")
_OPENING = re.compile(r"<(?P<name>[A-Za-z_][^\s<>]*)>")
_CLOSING = re.compile(r"</(?P<name>[^\s<>]+)>")
_PROJECTION_PATH = re.compile(r"\s*(?:\$MEMORY_DIR/)?(?P<key>[^\s<>]+?)\.md\s*")
_HOLDER = re.compile(r"<(?P<name>[A-Za-z_][^\s<>]*)>\s*\Z")
_HOLDER_REACH = 300
_GRAPHITI_TAGS = ("FACTS", "ENTITIES", "EPISODES", "COMMUNITIES")
_SEPARATOR = re.compile(r"[ \t]*,\s*(?=\{)|[ \t]*\n(?:[ \t]*(?=\{)|(?=</))|")


def _elements(text: str, name: str, start: int = 0, end: int | None = None, gap: int = 1) -> Iterator[_Element]:
    """Yield every element of one name between two positions, with up to `gap` line breaks behind it."""
    stop = len(text) if end is None else end
    opening, closing = re.compile(rf"<{name}(?P<attributes>\s[^<>]*)?>"), f"</{name}>"
    at = start
    while match := opening.search(text, at, stop):
        body_end = text.find(closing, match.end(), stop)
        if body_end < 0:
            return
        at = _behind_breaks(text, body_end + len(closing), stop, gap)
        yield _Element(match["attributes"] or "", match.start(), at, match.end(), body_end)


def _behind_breaks(text: str, at: int, stop: int, most: int) -> int:
    end = at
    while end < min(stop, at + most) and text[end] == "\n":
        end += 1
    return end


def _attribute(attributes: str, *names: str) -> str | None:
    found = {m["name"]: (m["double"] or m["single"] or "").strip() for m in _ATTRIBUTE.finditer(attributes)}
    return next((found[name] for name in names if found.get(name)), None)


def _run(text: str, start: int, end: int, line: re.Pattern[str]) -> Iterator[Found]:
    """Yield the lines that follow each other from a position on, up to the first that is not such a line."""
    at = start
    while at < end and (match := line.match(text, at, end)):
        yield Found(match.start(), match.end(), None, match["text"].strip())
        at = match.end()


def _items(text: str, element: _Element) -> Iterator[Found]:
    """Yield the bullets that an element holds, or else its lines: text around bullets is an introduction."""
    start = element.body + (text[element.body : element.body + 1] == "\n")
    bullets = _BULLET.search(text, start, element.body_end)
    for match in (_BULLET if bullets else _LINE).finditer(text, start, element.body_end):
        yield Found(match.start(), match.end(), None, match["text"].strip())


def _tags(text: str) -> Iterator[Found]:
    for element in _elements(text, "memory"):
        if key := _attribute(element.attributes, "key"):
            yield Found(element.start, element.end, key, text[element.body : element.body_end])


def _mem0(text: str) -> Iterator[Found]:
    for pattern, line in ((_MEM0_HEADER, _BULLET), (_MEM0_FACTS, _MEM0_FACT)):
        at = 0
        while header := pattern.search(text, at):
            at = header.end()
            for found in _run(text, at, len(text), line):
                yield found
                at = found.end
    for name in _MEM0_TAGS:
        for element in _elements(text, name):
            yield from _items(text, element)


def _letta(text: str) -> Iterator[Found]:
    for blocks in _elements(text, "memory_blocks"):
        yield from _letta_blocks(text, blocks)
    for element in _elements(text, "self", gap=2):
        yield Found(element.start, element.end, "self", text[element.body : element.body_end].strip())
    for element in _elements(text, "memory"):
        yield from _letta_projections(text, element)


def _letta_blocks(text: str, blocks: _Element) -> Iterator[Found]:
    last = {match["name"]: match.start() for match in _CLOSING.finditer(text, blocks.body, blocks.body_end)}
    at = blocks.body
    while opening := _OPENING.search(text, at, blocks.body_end):
        at, label = opening.end(), opening["name"]
        if last.get(label, -1) < at:
            continue
        block = next(_elements(text, re.escape(label), opening.start(), blocks.body_end, gap=2), None)
        if block is None:
            continue
        at = block.end
        for value in _elements(text, "value", block.body, block.body_end):
            yield Found(block.start, block.end, label, text[value.body : value.body_end].strip())
            break


def _letta_projections(text: str, memory: _Element) -> Iterator[Found]:
    """Yield the files of a memory folder: a projection holds the file's text, or its path before the text."""
    at = memory.body
    for projection in _elements(text, "projection", memory.body, memory.body_end):
        if projection.start < at:
            continue
        body = text[projection.body : projection.body_end]
        path = _PROJECTION_PATH.fullmatch(body)
        holder = _holder(text, projection, memory) if path else None
        if path and holder:
            yield Found(holder.start, holder.end, path["key"], text[projection.end : holder.body_end].strip())
        else:
            key = _attribute(projection.attributes, "path", "label", "name", "id")
            yield Found(projection.start, projection.end, key, body.strip())
        at = (holder or projection).end


def _holder(text: str, projection: _Element, memory: _Element) -> _Element | None:
    reach = max(memory.body, projection.start - _HOLDER_REACH)
    opening = _HOLDER.search(text, reach, projection.start)
    if opening is None:
        return None
    return next(_elements(text, re.escape(opening["name"]), opening.start(), memory.body_end), None)


def _graphiti(text: str) -> Iterator[Found]:
    for name in _GRAPHITI_TAGS:
        for element in _elements(text, name):
            if text.find("{", element.body, element.body_end) >= 0:
                yield from _records(text, element.body, element.body_end)
            else:
                yield from _bullets(text, element)
    for element in _elements(text, "USER_SUMMARY"):
        yield Found(element.start, element.end, "user_summary", text[element.body : element.body_end].strip())


def _bullets(text: str, element: _Element) -> Iterator[Found]:
    for match in _BULLET.finditer(text, element.body, element.body_end):
        yield Found(match.start(), match.end(), None, match["text"].strip())


def _records(text: str, start: int, end: int) -> Iterator[Found]:
    """Yield each JSON object between two positions, with the comma or line break that separates it from the next."""
    decoder = json.JSONDecoder()
    at = start
    while (at := text.find("{", at, end)) >= 0:
        try:
            record, stop = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            at = max(at + 1, error.pos)
            continue
        except (RecursionError, ValueError):  # nested too deeply, or a number of thousands of digits
            return
        if stop > end:
            return
        separator = _SEPARATOR.match(text, stop)
        last = min(end, separator.end()) if separator else stop
        yield Found(at, last, _record_key(record), _record_text(record))
        at = last


def _record_key(record: Mapping[str, Any]) -> str | None:
    values = (record.get(name) for name in ("uuid", "key", "id"))
    return next((value for value in values if isinstance(value, str) and value and _is_text(value)), None)


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: JSON escapes can make halves of surrogate pairs."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _record_text(record: Mapping[str, Any]) -> str:
    for name in ("fact", "entity_name", "community_name", "name", "content", "text", "summary", "value"):
        if isinstance(value := record.get(name), str) and value:
            return value
    return json.dumps(record, ensure_ascii=False)


def _langmem(text: str) -> Iterator[Found]:
    for element in _elements(text, "memories"):
        items = list(_elements(text, "memory", element.body, element.body_end))
        for item in items:
            yield Found(
                item.start,
                item.end,
                _attribute(item.attributes, "key", "id", "name"),
                text[item.body : item.body_end].strip(),
            )
        if not items:
            yield from _items(text, element)


def langmem_results(text: str) -> Iterator[Found]:
    """Find the records in what LangMem's `search_memory` tool returned."""
    return _records(text, 0, len(text))


RULES: Mapping[str, MemoryRule] = {
    "tags": _tags,
    "mem0": _mem0,
    "letta": _letta,
    "graphiti": _graphiti,
    "langmem": _langmem,
}
"""Every built-in rule by name. Where slices of two rules overlap, the one that stands first here wins."""
