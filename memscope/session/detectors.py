"""Detect memories in the text of chat messages with the rules of `memscope.session.rules` and the user's pattern.

Detection never changes a text: its parts, joined, are the text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from memscope.errors import ConfigError, UsageError
from memscope.session.rules.base import Found, MemoryRule, Origin
from memscope.session.rules.blocks import items_at
from memscope.session.rules.registry import RULES

__all__ = ["Detector", "pattern_rule"]

_KEY_WORDS = 6
_KEY_CHARACTERS = 60
_HASH_BYTES = 3


class Detector:
    """Splits texts with a selection of rules, and records which rule found which keys.

    Attributes:
        found: The keys that each rule found, in order of first appearance.
    """

    def __init__(self, rules: Collection[str] | None = None, pattern: str | None = None) -> None:
        """Select rules.

        Args:
            rules: Names from `RULES`; None for those that are applied by default.
            pattern: A regular expression whose matches are memories, also where a rule finds others. The optional
                named groups are `key`; `text`, from which a missing key is derived; `memory`, the part to leave out, by
                default the whole match; and `items`, the beginning of a list, each item of which is a memory instead
                (or of lines, up to a blank one). `.` matches no line break, `^` and `$` match at each line. Python's
                `re` has no time limit: a pattern with much backtracking is slow on long messages.

        Raises:
            UsageError: A rule name is unknown.
            ConfigError: The pattern is not a regular expression.
        """
        if unknown := [name for name in rules or () if name not in (*RULES, "regex")]:
            raise UsageError(f"memory rule {unknown[0]!r} is unknown; known rules: {', '.join(RULES)}, regex")
        self._rules: dict[str, MemoryRule] = {"regex": pattern_rule(pattern)} if pattern else {}
        self._rules |= {
            name: rule for name, rule in RULES.items() if (rule.by_default if rules is None else name in rules)
        }
        self._keys: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self.found: dict[str, dict[str, None]] = {}

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of the rules, in order of precedence."""
        return tuple(self._rules)

    def split(
        self, text: str, *, origin: Origin = "system", search_results: bool = False
    ) -> list[tuple[str | None, str]]:
        """Return the parts of a text in order: (key, text) for a memory, (None, text) for anything else.

        Args:
            text: The content of one message.
            origin: Where the text comes from.
            search_results: Whether the text is the result of a memory search.
        """
        taken: list[_Taken] = []
        for name, rule in self._rules.items():
            found = rule.found_in(text, origin, search_results=search_results)
            own = [_Taken(memory.start, memory.end, self._key(rule, memory)) for memory in _free(taken, found)]
            if own:
                taken = sorted(taken + own)
                self.found.setdefault(name, {}).update(dict.fromkeys(memory.key for memory in own))
        return _parts(text, taken)

    def _key(self, rule: MemoryRule, memory: Found) -> str:
        if memory.key:
            return memory.key
        if rule.numbered:
            return f"memory-{self._numbers.setdefault(memory.text, len(self._numbers) + 1)}"
        key = memory.under + _slug(memory.text)
        if self._keys.setdefault(key, memory.text) != memory.text:
            digest = hashlib.blake2b(memory.text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES)
            key = f"{key}-{digest.hexdigest()}"
        return key


class _Taken(NamedTuple):
    """A slice of a text that a rule took as a memory."""

    start: int
    end: int
    key: str


def _free(taken: Sequence[_Taken], found: Iterable[Found]) -> Iterator[Found]:
    """Yield those memories that overlap neither the sorted, disjoint slices nor each other."""
    last = at = 0
    for memory in sorted(found, key=attrgetter("start")):
        while at < len(taken) and taken[at].end <= memory.start:
            at += 1
        ends_before_next = at == len(taken) or memory.end <= taken[at].start
        if last <= memory.start < memory.end and ends_before_next:
            yield memory
            last = memory.end


def pattern_rule(pattern: str) -> MemoryRule:
    """Return the rule of a pattern; see `Detector`.

    Raises:
        ConfigError: It is not a regular expression.
    """
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"memory pattern {pattern!r}: {error}") from error
    groups = compiled.groupindex
    if "items" in groups:
        return MemoryRule("regex", partial(_find_items, compiled))
    whole = "memory" if "memory" in groups else 0
    text = "text" if "text" in groups else whole

    def find(searched: str) -> Iterator[Found]:
        for match in compiled.finditer(searched):
            if match[whole]:
                key = (match["key"] or "").strip() if "key" in groups else ""
                yield Found(*match.span(whole), key or None, match[text] or match[whole])

    return MemoryRule("regex", find)


def _find_items(pattern: re.Pattern[str], text: str) -> Iterator[Found]:
    """Yield the items of the list, or the lines, that begin at the group `items` of each match."""
    end = 0
    for match in pattern.finditer(text):
        if match["items"] and match.start("items") >= end:
            for item in items_at(text, match.start("items")):
                end = item.end
                yield item


def _parts(text: str, taken: Sequence[_Taken]) -> list[tuple[str | None, str]]:
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
    return "-".join(words[:_KEY_WORDS])[:_KEY_CHARACTERS] or "memory"
