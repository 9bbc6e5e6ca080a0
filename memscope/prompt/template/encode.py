"""Encode the rendering of a chat template, keeping its texts free of control tokens.

The rendering is cut only where a memory begins or ends. Long blocks are encoded as a whole, so that with nothing left
out the ids equal those of the whole conversation. A text that contains the characters of a control token is encoded
separately, as text.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TypeAlias

from memscope.prompt.sequence import TokenSpan, id_array
from memscope.prompt.template.messages import Owner
from memscope.prompt.tokenizer import Tokenizer

__all__ = ["SpanEncoder", "TextSpan"]


@dataclass(frozen=True, slots=True)
class TextSpan:
    """Characters that belong to one node.

    Attributes:
        text: The characters.
        owner: Their owner.
        protected: Whether they are session text, which must not become control tokens.
        opens: Whether a message begins here.
    """

    text: str
    owner: Owner
    protected: bool
    opens: bool


_Ids: TypeAlias = "tuple[Owner, array[int]]"


class SpanEncoder:
    """Encodes text spans and caches the ids of blocks, which recur if every response has its own prompt."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._cut_point = re.compile("|".join(map(re.escape, tokenizer.cut_points)) or "(?!)")
        self._known: dict[tuple[TextSpan, ...], tuple[TokenSpan, ...]] = {}

    def encode(self, spans: Iterable[TextSpan]) -> Iterator[TokenSpan]:
        """Yield the token spans of text spans, merging neighbours with the same owner."""
        for number, block in enumerate(self._blocks(spans)):
            if number == 0:
                yield from self._encoded(block, middle=False)
                continue
            if block not in self._known:
                self._known[block] = tuple(self._encoded(block, middle=True))
            yield from self._known[block]

    def _blocks(self, spans: Iterable[TextSpan]) -> Iterator[tuple[TextSpan, ...]]:
        """Split spans at messages that begin with a control token, where a cut changes no ids."""
        block: list[TextSpan] = []
        for span in spans:
            if span.opens and block and self._cut_point.match(span.text):
                yield tuple(block)
                block = []
            block.append(span)
        yield tuple(block)

    def _encoded(self, block: Sequence[TextSpan], *, middle: bool) -> Iterator[TokenSpan]:
        found: list[_Ids] = []
        for _, group in groupby(block, key=lambda span: span.owner.memory):
            found += self._ids(list(group), middle=middle or bool(found))
        for owner, parts in groupby(found, key=lambda part: part[0]):
            ids = id_array()
            for _, more in parts:
                ids += more
            yield TokenSpan(ids, owner.section, owner.position, owner.label, owner.memory, owner.response, owner.last)

    def _ids(self, spans: Sequence[TextSpan], *, middle: bool) -> list[_Ids]:
        """Encode spans as a whole, or separately those that would become control tokens."""
        text = "".join(span.text for span in spans)
        ends = list(accumulate(len(span.text) for span in spans))
        numbers, offsets = self._parsed(text, middle=middle)
        risky = self._risky(spans, ends, text, zip(numbers, offsets, strict=True))
        if risky:
            return self._around(spans, risky, middle=middle)
        found: list[_Ids] = [(span.owner, id_array()) for span in spans]
        for number, (_, end) in zip(numbers, offsets, strict=True):
            found[bisect_left(ends, end)][1].append(number)
        return [part for part in found if part[1]]

    def _risky(
        self, spans: Sequence[TextSpan], ends: Sequence[int], text: str, tokens: Iterable[tuple[int, tuple[int, int]]]
    ) -> set[int]:
        """Return the indices of protected spans in which control tokens were found."""
        risky: set[int] = set()
        for number, (start, end) in tokens:
            if self._tokenizer.is_control(number, text[start:end]):
                # Some control tokens absorb adjacent spaces, which is harmless.
                name = self._tokenizer.control_names[number]
                at = start + max(0, text[start:end].find(name))
                touched = range(bisect_right(ends, at), bisect_left(ends, min(end, at + len(name))) + 1)
                risky.update(index for index in touched if spans[index].protected)
        return risky

    def _around(self, spans: Sequence[TextSpan], risky: set[int], *, middle: bool) -> list[_Ids]:
        found: list[_Ids] = []
        for apart, group in groupby(range(len(spans)), key=lambda index: index in risky):
            members = [spans[index] for index in group]
            inside = middle or bool(found)
            if not apart:
                found += self._ids(members, middle=inside)
                continue
            tokenizer = self._tokenizer.without_prefix_space if inside else self._tokenizer
            found += [(span.owner, id_array(tokenizer.encode(span.text))) for span in members]
        return found

    def _parsed(self, text: str, *, middle: bool) -> tuple[list[int], list[tuple[int, int]]]:
        numbers, offsets = self._tokenizer.parse(text)
        without_prefix_space = self._tokenizer.without_prefix_space
        if not middle or without_prefix_space is self._tokenizer:
            return numbers, offsets
        # Text before the first control token continues the preceding text.
        tokens = enumerate(zip(numbers, offsets, strict=True))
        first = next((n for n, (i, (a, b)) in tokens if self._tokenizer.is_control(i, text[a:b])), len(numbers))
        lead = text[: offsets[first][0]] if first < len(numbers) else text
        lead_numbers, lead_offsets = without_prefix_space.parse(lead)
        return lead_numbers + numbers[first:], lead_offsets + offsets[first:]
