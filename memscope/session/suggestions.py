"""Suggest how to find the memories of a session in which no rule found any.

Every suggestion was tried on the session itself: its options do find memories.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from memscope.session.detectors import pattern_rule
from memscope.session.memory_tools import searches_memories
from memscope.session.nodes import Branch, Content, Node, Session, ToolCall, ToolResult
from memscope.session.rules.base import Found, MemoryRule, Origin
from memscope.session.rules.blocks import block_lines, named_line
from memscope.session.rules.elements import elements
from memscope.session.rules.headings import heading_of, is_instruction
from memscope.session.rules.lists import Line, lines, list_at, starts_item
from memscope.session.rules.registry import RULES
from memscope.session.text import origin_of
from memscope.terminal.counts import counted
from memscope.terminal.safe import one_line, shorten

__all__ = ["Suggestion", "suggestions"]

_MOST = 3
_SEARCHED = 1_000_000
"""How many characters of a session are searched."""

_MOST_NAMES = 20
"""How many different elements, and how many different headings, are tried."""

_SHOWN = 60
_NEARBY = 80
_MOST_COUNTED = 50
_MEMORY_WORDS = re.compile(r"memor|fact|prefer|about|profile|context|note|know|remember|user", re.IGNORECASE)
_OPENING = re.compile(r"<(?P<name>[A-Za-z][\w.-]{0,60})(?:\s[^<>]*)?>")

_SPECIAL = re.compile(r"[.^$*+?{}\[\]\\|()-]")
_RULE_WEIGHT = 4

_SHAPES = {
    "list item": r"^[ \t]*(?:[-*•]|\d+[.)]) +(?P<text>.+)\n?",
    "named line": r"^(?P<key>[A-Z][\w /-]{0,40}): +(?P<text>\S.*)\n?",
    "bracketed line": r"^\[(?P<key>[^\]\n]+)\] *(?P<text>\S.*)\n?",
    "JSON object": (
        r'\{(?:[^{}\n]*?"(?:memory|fact|text|content|value)": *"(?P<text>(?:[^"\\\n]|\\.)+)")?[^{}\n]*\}[ ,]*\n?'
    ),
}
"""Patterns for shapes in which memories are often written, by what one match is."""


_ITEMS = ("list item", "(?P<items>.+)")
_NAMED_LINES = ("named line", "(?P<items>.+)")
_PARAGRAPH = ("paragraph after a heading", r"(?P<memory>(?:.+\n?)+)")
"""What may follow a heading, and the rest of a pattern that takes it."""

_LOOKED_AT = 20
"""How many items or lines after a heading are looked at."""


class Suggestion(NamedTuple):
    """Options that find memories in a session.

    Attributes:
        place: What they find first, and where.
        options: The command-line options.
    """

    place: str
    options: tuple[str, ...]

    def command(self, path: str, more: Iterable[tuple[str, ...]] = ()) -> str:
        """Return a command, quoted for a shell, that opens a file with these options.

        Args:
            path: The file.
            more: Further options, each as its words; one that these set too is left out.
        """
        kept = (words for words in more if words[0] not in self.options)
        return shlex.join(["memscope", path, *chain(*kept), *self.options])


class _Text(NamedTuple):
    """A text of the session that the model did not write."""

    origin: Origin
    number: int
    text: str
    search_results: bool


class _Matches(NamedTuple):
    """What a pattern or a rule matches: the first memory, and how many there are."""

    text: _Text
    memory: Found
    total: int

    def place(self, kind: str) -> str:
        """Describe it in one line."""
        text, start = self.text.text, self.memory.start
        shown = shorten(text[start : self.memory.end], _SHOWN)
        where = f"message {self.text.number} ({self.text.origin}), line {text.count(chr(10), 0, start) + 1}"
        return f"{counted(self.total, kind)}, first in {where}: {shown}"


class _Candidate(NamedTuple):
    """Options to suggest: what one memory that they find is called, what they find, and how likely this kind is one."""

    kind: str
    matches: _Matches
    options: tuple[str, ...]
    weight: int

    @property
    def likelihood(self) -> tuple[int, int]:
        """How much this looks like memories, for sorting."""
        text, memory, total = self.matches
        near = text.text[max(0, memory.start - _NEARBY) : memory.end]
        signs = self.weight + bool(_MEMORY_WORDS.search(near)) + (text.origin == "system") + (total > 1)
        return signs, min(total, _MOST_COUNTED)

    @property
    def suggestion(self) -> Suggestion:
        """The suggestion to use these options."""
        return Suggestion(self.matches.place(self.kind), self.options)


def suggestions(session: Session) -> list[Suggestion]:
    """Return the places that look most like memories, at most three, and then the paragraphs of the system prompt.

    Args:
        session: A session without memories, of a format whose texts are searched for them.
    """
    texts = list(_texts(session))
    candidates = [*_by_rule(texts, session.source.searched), *_by_pattern(texts)]
    chosen: dict[tuple[int, int], Suggestion] = {}
    for candidate in sorted(candidates, key=lambda one: one.likelihood, reverse=True):
        place = (candidate.matches.text.number, candidate.matches.memory.start)
        if len(chosen) < _MOST and _survives_printing(candidate.options):
            chosen.setdefault(place, candidate.suggestion)
    return [*chosen.values(), *_paragraphs(texts)]


def _texts(session: Session) -> Iterator[_Text]:
    left = _SEARCHED
    searches: set[object] = set()
    for number, node in enumerate(session.nodes):
        searches |= _searches(node)
        for origin, text, answered in _searchable(node):
            if text and left > 0:
                yield _Text(origin, number, text[:left], answered is not None and answered in searches)
                left -= len(text)


def _searches(node: Node) -> set[object]:
    """Return the ids of the calls of a turn that search memories."""
    leaves = node.children if isinstance(node, Branch) else ()
    return {leaf.extra.get("id") for leaf in leaves if isinstance(leaf, ToolCall) and searches_memories(leaf.name)}


def _searchable(node: Node) -> Iterator[tuple[Origin, str, object]]:
    """Yield each text of a turn that the model did not write: its origin, itself, and the id of the call it answers."""
    if isinstance(node, Branch) and (origin := origin_of(node.role)):
        content = "".join(leaf.text for leaf in node.children if isinstance(leaf, Content))
        yield origin, content, node.extra.get("tool_call_id")
        for leaf in node.children:
            if isinstance(leaf, ToolResult):
                yield "tool", leaf.text, leaf.extra.get("id")


def _survives_printing(options: tuple[str, ...]) -> bool:
    return one_line(command := shlex.join(options)) == command


def _paragraphs(texts: list[_Text]) -> Iterator[Suggestion]:
    rule = RULES["paragraphs"]
    if found := _matches(rule, texts):
        yield Suggestion(found.place("paragraph"), ("--rules", rule.name))


def _by_rule(texts: list[_Text], searched: Collection[str]) -> Iterator[_Candidate]:
    for name, rule in RULES.items():
        if name not in (*searched, "paragraphs") and (found := _matches(rule, texts)):
            yield _Candidate(f"{name} item", found, ("--rules", name), _RULE_WEIGHT)


def _by_pattern(texts: list[_Text]) -> Iterator[_Candidate]:
    weighted = ((0, _SHAPES.items()), (1, _element_patterns(texts)), (2, _heading_patterns(texts)))
    for weight, patterns in weighted:
        for kind, pattern in patterns:
            if found := _matches(pattern_rule(pattern), texts):
                yield _Candidate(kind, found, ("--memory-regex", pattern), weight)


def _matches(rule: MemoryRule, texts: list[_Text]) -> _Matches | None:
    first: tuple[_Text, Found] | None = None
    total = 0
    for text in texts:
        for memory in rule.found_in(text.text, text.origin, search_results=text.search_results):
            first = first or (text, memory)
            total += 1
    return _Matches(*first, total) if first else None


def _element_patterns(texts: list[_Text]) -> Iterator[tuple[str, str]]:
    openings = Counter(match["name"] for text in texts for match in _OPENING.finditer(text.text))
    for name, count in openings.most_common(_MOST_NAMES):
        tag = _literal(name)
        bodies = [text.text[element.body : element.body_end] for text in texts for element in elements(text.text, tag)]
        if len(bodies) != count:  # the pattern below would search for missing closing tags again and again
            continue
        is_plain = not any("<" in body for body in bodies)
        body = "(?P<text>[^<]*)" if is_plain else "(?P<text>(?s:.*?))"
        yield f"<{name}> element", rf"<{tag}\b[^<>]*>{body}</{tag}>\n?"


def _heading_patterns(texts: list[_Text]) -> Iterator[tuple[str, str]]:
    """Yield patterns for what follows a heading: a list, named lines, or a paragraph if it says memories."""
    after: dict[str, tuple[str, str] | None] = {}
    for text in texts:
        for heading, line in _headed(text.text):
            if heading.text not in after:
                after[heading.text] = _after_heading(heading, line, text.text)
    found = ((title, *shape) for title, shape in after.items() if shape)
    for title, kind, pattern in islice(found, _MOST_NAMES):
        yield kind, rf"^{_literal(title)}\n+{pattern}"


def _headed(text: str) -> Iterator[tuple[Line, Line]]:
    """Yield each heading and the line after it."""
    before: Line | None = None
    for line in lines(text, 0, len(text)):
        if not line.is_blank:
            if before is not None:
                yield before, line
            before = line if heading_of(line) else None


def _after_heading(title: Line, line: Line, text: str) -> tuple[str, str] | None:
    """Return what begins with the line after a heading, if it looks like memories, and a pattern for it."""
    heading = heading_of(title)
    says_memories = heading is not None and heading.says_memories
    if starts_item(line.text):
        items = islice(list_at(text, line.start, len(text)), _LOOKED_AT)
        is_plain = heading is not None and not heading.says_instructions
        return _ITEMS if says_memories or (is_plain and not all(is_instruction(item.text) for item in items)) else None
    named = [named_line(one.text) for one in islice(block_lines(text, line.start), _LOOKED_AT)]
    if len(named) > 1 and all(named):
        return _NAMED_LINES
    return _PARAGRAPH if says_memories else None


def _literal(text: str) -> str:
    """Return a pattern for a text; unlike `re.escape`, it leaves spaces and hashes as they are."""
    return _SPECIAL.sub(r"\\\g<0>", text)
