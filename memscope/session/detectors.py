"""Finding memories in the text of chat messages, by the shapes that memory systems write.

Each rule is a function from a text to the slices in it that are memories. A slice is what is left out when its memory
is: the whole bullet, element or record with what separates it from the next, so that the rest reads as it would have
without that memory. Rules never change a character: joined, the parts of a text are the text.

Where the slices of two rules overlap, the rule that stands first in `RULES` wins.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from memscope.errors import SessionError, UsageError

__all__ = ["RULES", "Detector", "Found"]

_KEY_WORDS = 6
_HASH_BYTES = 3


@dataclass(frozen=True, slots=True)
class Found:
    """One memory in a text: [start, end) in characters, its key, or None to make one from `text`."""

    start: int
    end: int
    key: str | None
    text: str


Rule = Callable[[str], Iterator[Found]]

_TAG = re.compile(
    r"<memory\s[^<>]*?\bkey=(?P<quote>[\"'])(?P<key>[^\"'<>]+)(?P=quote)[^<>]*>(?P<text>.*?)</memory>\n?", re.DOTALL
)
_BULLET = re.compile(r"[ \t]*(?:[-*•]|\d+[.)])[ \t]+(?P<text>[^\n]+)\n?")
_LINE = re.compile(r"[ \t]*(?:(?:[-*•]|\d+[.)])[ \t]+)?(?P<text>[^\s][^\n]*)\n?")
_MEM0_HEADER = re.compile(r"^[ \t]*(?:#+ *)?User Memories:[ \t]*\n", re.MULTILINE)
_MEM0_FACTS = re.compile(r"^[ \t]*-[ \t]*Relevant Memories/Facts:[ \t]*\n?", re.MULTILINE)
_LETTA_VALUE = re.compile(r"<value>(?P<text>.*?)</value>", re.DOTALL)
_PROJECTION = re.compile(r"<projection\b(?P<attributes>[^<>]*)>(?P<text>.*?)</projection>\n?", re.DOTALL)
_ATTRIBUTE = re.compile(r"\b(?:path|label|name|id)=[\"'](?P<key>[^\"']+)[\"']")


def _elements(text: str, name: str) -> Iterator[re.Match[str]]:
    """Yield every `<name …>…</name>`; the group `body` is what it holds."""
    return re.finditer(rf"<{name}(?:\s[^<>]*)?>(?P<body>.*?)</{name}>\n?", text, re.DOTALL)


def _lines(text: str, start: int, end: int, pattern: re.Pattern[str]) -> Iterator[Found]:
    at = start
    while at < end and (match := pattern.match(text, at, end)):
        yield Found(match.start(), match.end(), None, match["text"].strip())
        at = match.end()


def _tags(text: str) -> Iterator[Found]:
    for match in _TAG.finditer(text):
        yield Found(match.start(), match.end(), match["key"].strip(), match["text"])


def _mem0(text: str) -> Iterator[Found]:
    for header in _MEM0_HEADER.finditer(text):
        yield from _lines(text, header.end(), len(text), _BULLET)
    for header in _MEM0_FACTS.finditer(text):
        yield from _lines(text, header.end(), len(text), _LINE)
    for name in ("mem0-relevant-memories", "relevant-memories"):
        for element in _elements(text, name):
            yield from _inside(text, element)


def _inside(text: str, element: re.Match[str]) -> Iterator[Found]:
    start, end = element.span("body")
    while start < end and text[start] in " \t\r\n":
        start += 1
    yield from _lines(text, start, end, _LINE)


def _letta(text: str) -> Iterator[Found]:
    for blocks in _elements(text, "memory_blocks"):
        start, end = blocks.span("body")
        for block in re.finditer(
            r"<(?P<label>[A-Za-z][\w.-]*)>(?P<body>.*?)</(?P=label)>\n?", text[start:end], re.DOTALL
        ):
            if value := _LETTA_VALUE.search(block["body"]):
                yield Found(start + block.start(), start + block.end(), block["label"], value["text"].strip())
    for element in _elements(text, "self"):
        yield Found(element.start(), element.end(), "self", element["body"].strip())
    for element in _elements(text, "memory"):
        for projection in _PROJECTION.finditer(text, *element.span("body")):
            named = _ATTRIBUTE.search(projection["attributes"])
            yield Found(
                projection.start(), projection.end(), named["key"] if named else None, projection["text"].strip()
            )


def _graphiti(text: str) -> Iterator[Found]:
    for name in ("FACTS", "ENTITIES", "EPISODES", "COMMUNITIES"):
        for element in _elements(text, name):
            yield from _records(text, *element.span("body"))
    for element in _elements(text, "USER_SUMMARY"):
        yield Found(element.start(), element.end(), "user_summary", element["body"].strip())


def _records(text: str, start: int, end: int) -> Iterator[Found]:
    """Yield each JSON object between two positions, with the comma or line break that separates it from the next."""
    decoder = json.JSONDecoder()
    at = start
    while 0 <= (at := text.find("{", at, end)) < end:
        try:
            record, stop = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            at += 1
            continue
        if stop > end:
            return
        separator = re.compile(r"[ \t]*,?[ \t]*\n?[ \t]*(?=[{\s])|").match(text, stop, end)
        last = separator.end() if separator else stop
        yield Found(at, last, _record_key(record), _record_text(record))
        at = last


def _record_key(record: Mapping[str, Any]) -> str | None:
    for name in ("uuid", "key", "id"):
        if isinstance(value := record.get(name), str) and value:
            return value
    return None


def _record_text(record: Mapping[str, Any]) -> str:
    for name in ("fact", "name", "content", "text", "summary", "value"):
        if isinstance(value := record.get(name), str) and value:
            return value
    return json.dumps(record, ensure_ascii=False)


def _langmem(text: str) -> Iterator[Found]:
    for element in _elements(text, "memories"):
        start, end = element.span("body")
        items = list(re.finditer(r"<memory(?:\s[^<>]*)?>(?P<text>.*?)</memory>\n?", text[start:end], re.DOTALL))
        for item in items:
            named = re.search(r"\b(?:key|id|name)=[\"']([^\"']+)[\"']", item[0].split(">", 1)[0])
            yield Found(start + item.start(), start + item.end(), named[1] if named else None, item["text"].strip())
        if not items:
            yield from _inside(text, element)


def langmem_results(text: str) -> Iterator[Found]:
    """Find the records in what LangMem's `search_memory` tool returned."""
    return _records(text, 0, len(text))


RULES: Mapping[str, Rule] = {
    "tags": _tags,
    "mem0": _mem0,
    "letta": _letta,
    "graphiti": _graphiti,
    "langmem": _langmem,
}
"""Every built-in rule by name. `regex`, the user's own pattern, comes before them."""


class Detector:
    """Splits texts by a choice of rules, and remembers which rule found which keys.

    Attributes:
        found: For each rule that found something, its keys in order of first appearance.
    """

    def __init__(self, rules: Collection[str] | None = None, pattern: str | None = None) -> None:
        """Choose rules.

        Args:
            rules: Names out of `RULES`; None is all of them.
            pattern: A regular expression with the named groups `key` and `text`; a group `memory` may hold what is
                left out, else it is the whole match. It runs over every message, so it should not backtrack much.

        Raises:
            UsageError: A rule has no such name.
            SessionError: The pattern is not a regular expression with both groups.
        """
        if unknown := [name for name in rules or () if name not in (*RULES, "regex")]:
            raise UsageError(f"memory rule {unknown[0]!r} is unknown; there are {', '.join(RULES)}, regex")
        self._rules: dict[str, Rule] = {"regex": _own_rule(pattern)} if pattern else {}
        self._rules |= {name: rule for name, rule in RULES.items() if rules is None or name in rules}
        self._keys: dict[str, str] = {}
        self.found: dict[str, dict[str, None]] = {}

    def split(self, text: str, *, search_results: bool = False) -> list[tuple[str | None, str]]:
        """Return the parts of a text in order: (key, text) for a memory, (None, text) for anything else.

        Args:
            text: The content of one message.
            search_results: It is what a `search_memory` tool returned.
        """
        rules = dict(self._rules)
        if search_results and "langmem" in rules:
            rules["langmem"] = langmem_results
        taken: list[tuple[int, int, str]] = []
        for name, rule in rules.items():
            for memory in rule(text):
                if memory.start < memory.end and all(memory.end <= a or memory.start >= b for a, b, _ in taken):
                    key = self._key(memory)
                    taken.append((memory.start, memory.end, key))
                    self.found.setdefault(name, {}).setdefault(key)
        return _parts(text, sorted(taken))

    def _key(self, memory: Found) -> str:
        if memory.key:
            return memory.key
        key = _slug(memory.text)
        if self._keys.setdefault(key, memory.text) != memory.text:
            digest = hashlib.blake2b(memory.text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES)
            key = f"{key}-{digest.hexdigest()}"
        return key


def _own_rule(pattern: str) -> Rule:
    try:
        compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
    except re.error as error:
        raise SessionError(f"memory pattern {pattern!r}: {error}") from error
    if missing := {"key", "text"} - set(compiled.groupindex):
        raise SessionError(
            f"memory pattern {pattern!r}: has no group named {min(missing)}, write (?P<{min(missing)}>…)"
        )
    whole = "memory" if "memory" in compiled.groupindex else 0

    def rule(text: str) -> Iterator[Found]:
        for match in compiled.finditer(text):
            if match[whole]:
                yield Found(*match.span(whole), (match["key"] or "").strip() or None, match["text"] or match[whole])

    return rule


def _parts(text: str, taken: list[tuple[int, int, str]]) -> list[tuple[str | None, str]]:
    parts: list[tuple[str | None, str]] = []
    at = 0
    for start, end, key in taken:
        if at < start:
            parts.append((None, text[at:start]))
        parts.append((key, text[start:end]))
        at = end
    if at < len(text):
        parts.append((None, text[at:]))
    return parts


def _slug(text: str) -> str:
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())
    return "-".join(words[:_KEY_WORDS]) or "memory"
