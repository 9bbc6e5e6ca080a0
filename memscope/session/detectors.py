"""Detect memories in the text of chat messages with the rules of `memscope.session.rules` and the user's pattern.

Detection never changes a text: its parts, joined, are the text.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Iterator

from memscope.errors import ConfigError, UsageError
from memscope.session.rules.base import Found, MemoryRule
from memscope.session.rules.registry import RULES

__all__ = ["Detector"]

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
            rules: Names from `RULES`; None for all of them.
            pattern: A regular expression with the named groups `key` and `text`. The optional group `memory` is the
                part to leave out, by default the whole match. The pattern takes precedence over all rules. Python's
                `re` has no time limit: a pattern with much backtracking is slow on long messages.

        Raises:
            UsageError: A rule name is unknown.
            ConfigError: The pattern is not a regular expression with both groups.
        """
        if unknown := [name for name in rules or () if name not in (*RULES, "regex")]:
            raise UsageError(f"memory rule {unknown[0]!r} is unknown; known rules: {', '.join(RULES)}, regex")
        self._rules: dict[str, MemoryRule] = {"regex": _own_rule(pattern)} if pattern else {}
        self._rules |= {name: rule for name, rule in RULES.items() if rules is None or name in rules}
        self._keys: dict[str, str] = {}
        self.found: dict[str, dict[str, None]] = {}

    def split(self, text: str, *, search_results: bool = False) -> list[tuple[str | None, str]]:
        """Return the parts of a text in order: (key, text) for a memory, (None, text) for anything else.

        Args:
            text: The content of one message.
            search_results: Whether the text is the result of a `search_memory` tool.
        """
        taken: list[tuple[int, int, str]] = []
        for name, rule in self._rules.items():
            find = rule.find_in_results if search_results and rule.find_in_results else rule.find
            for memory in find(text):
                at = bisect_left(taken, (memory.start,))
                if memory.start < memory.end and _is_free(taken, at, memory):
                    key = self._key(memory)
                    taken.insert(at, (memory.start, memory.end, key))
                    self.found.setdefault(name, {}).setdefault(key)
        return _parts(text, taken)

    def _key(self, memory: Found) -> str:
        if memory.key:
            return memory.key
        key = _slug(memory.text)
        if self._keys.setdefault(key, memory.text) != memory.text:
            digest = hashlib.blake2b(memory.text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES)
            key = f"{key}-{digest.hexdigest()}"
        return key


def _is_free(taken: list[tuple[int, int, str]], at: int, memory: Found) -> bool:
    """Return whether a slice inserted at index `at` of the sorted, disjoint slices overlaps neither neighbour."""
    return (at == 0 or taken[at - 1][1] <= memory.start) and (at == len(taken) or memory.end <= taken[at][0])


def _own_rule(pattern: str) -> MemoryRule:
    try:
        compiled = re.compile(pattern, re.DOTALL | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"memory pattern {pattern!r}: {error}") from error
    if missing := {"key", "text"} - set(compiled.groupindex):
        raise ConfigError(f"memory pattern {pattern!r}: has no group named {min(missing)}; add (?P<{min(missing)}>…)")
    whole = "memory" if "memory" in compiled.groupindex else 0

    def find(text: str) -> Iterator[Found]:
        for match in compiled.finditer(text):
            if match[whole]:
                yield Found(*match.span(whole), (match["key"] or "").strip() or None, match["text"] or match[whole])

    return MemoryRule("regex", find)


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
    return "-".join(words[:_KEY_WORDS])[:_KEY_CHARACTERS] or "memory"
