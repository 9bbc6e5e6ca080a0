"""Compare a response and its alternate word by word.

Invariants: nothing is lost (the unchanged and removed parts, joined, are the left text; the unchanged and added parts
the right one), and a change is never interrupted by only one or two equal words. If two texts have too little in
common, each is one block, because a diff would be unreadable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal, TypeAlias

import msgspec

from memscope.terminal.words import words_of

__all__ = ["ChangeKind", "Diff", "DiffSegment", "diff_texts", "joined_segments"]

ChangeKind: TypeAlias = Literal["same", "removed", "added"]

_MIN_SIMILARITY = 0.4
"""Share of common words below which both texts are shown whole."""

_SHORT_RUN = 2
"""Up to this many equal words between two changes become part of the change."""

_PAIR_LIMIT = 150_000
"""Pairs of equal words that `SequenceMatcher` may compare; prose of 2,000 words has about 60,000. Its run time is
proportional to their number times the number of changes; beyond this limit, everything between the common beginning
and end is one change."""


class DiffSegment(msgspec.Struct, frozen=True):
    """Text that is in both texts ("same"), or only in the left ("removed") or the right one ("added")."""

    kind: ChangeKind
    text: str


class Diff(msgspec.Struct, frozen=True):
    """The comparison of two texts.

    Attributes:
        segments: Segments in reading order; a removed one comes before the added one that replaces it.
        similarity: Twice the number of words shown as equal, divided by the words of both texts, 0 to 1.
        blocks: Whether the texts have so little in common that each is shown whole.
    """

    segments: tuple[DiffSegment, ...]
    similarity: float
    blocks: bool

    @property
    def left(self) -> str:
        """The left text."""
        return "".join(segment.text for segment in self.segments if segment.kind != "added")

    @property
    def right(self) -> str:
        """The right text."""
        return "".join(segment.text for segment in self.segments if segment.kind != "removed")


def diff_texts(left: str, right: str) -> Diff:
    """Compare two texts word by word.

    2,000 words take some hundredths of a second; larger or more repetitive texts are bounded by `_PAIR_LIMIT`.
    """
    one, two = _Words(left), _Words(right)
    pairs = _without_short_runs(_equal_words(one.words, two.words), len(one.words), len(two.words))
    total = len(one.words) + len(two.words)
    similarity = 2 * len(pairs) / total if total else 1.0
    if left != right and similarity < _MIN_SIMILARITY:
        return Diff(
            tuple(_nonempty(DiffSegment("removed", left), DiffSegment("added", right))), similarity, blocks=True
        )
    return Diff(tuple(joined_segments(_segments(one, two, pairs))), similarity, blocks=False)


class _Words:
    """The words of a text and their positions; whitespace lies between words."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = []
        self.starts: list[int] = []
        at = 0
        for word in words_of(text):
            if not word.isspace():
                self.words.append(word)
                self.starts.append(at)
            at += len(word)

    def end(self, number: int) -> int:
        return self.starts[number] + len(self.words[number])


Pair: TypeAlias = tuple[int, int]
"""The indices of two equal words."""


def _equal_words(left: Sequence[str], right: Sequence[str]) -> list[Pair]:
    shortest = min(len(left), len(right))
    head = next((n for n in range(shortest) if left[n] != right[n]), shortest)
    rest = shortest - head
    tail = next((n for n in range(rest) if left[-1 - n] != right[-1 - n]), rest)
    pairs = [(n, n) for n in range(head)]
    pairs += _matched(left[head : len(left) - tail], right[head : len(right) - tail], head)
    pairs += [(len(left) - n, len(right) - n) for n in range(tail, 0, -1)]
    return pairs


def _matched(left: Sequence[str], right: Sequence[str], offset: int) -> Iterator[Pair]:
    counts, others = Counter(left), Counter(right)
    if sum(count * others[word] for word, count in counts.items()) > _PAIR_LIMIT:
        return
    for block in SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks():
        for n in range(block.size):
            yield offset + block.a + n, offset + block.b + n


def _without_short_runs(pairs: Sequence[Pair], lefts: int, rights: int) -> list[Pair]:
    """Drop runs of one or two equal words between two changes."""
    kept: list[Pair] = []
    diagonals = groupby(enumerate(pairs), key=lambda item: (item[1][0] - item[0], item[1][1] - item[0]))
    for _, group in diagonals:
        run = [pair for _, pair in group]
        at_an_end = run[0] == (0, 0) or run[-1] == (lefts - 1, rights - 1)
        if len(run) > _SHORT_RUN or at_an_end:
            kept += run
    return kept


def _segments(left: _Words, right: _Words, pairs: Sequence[Pair]) -> Iterator[DiffSegment]:
    at, other = 0, 0
    for one, two in pairs:
        yield from _change(left.text[at : left.starts[one]], right.text[other : right.starts[two]])
        yield DiffSegment("same", left.words[one])
        at, other = left.end(one), right.end(two)
    yield from _change(left.text[at:], right.text[other:])


def _change(removed: str, added: str) -> Iterator[DiffSegment]:
    """Yield the segments between two equal words; whitespace that both texts have there is unchanged."""
    before = _common_blanks(removed, added)
    removed, added = removed[len(before) :], added[len(before) :]
    after = _common_blanks(removed[::-1], added[::-1])[::-1]
    end = -len(after) or None
    yield from _nonempty(
        DiffSegment("same", before),
        DiffSegment("removed", removed[:end]),
        DiffSegment("added", added[:end]),
        DiffSegment("same", after),
    )


def _common_blanks(one: str, two: str) -> str:
    length = 0
    for a, b in zip(one, two, strict=False):
        if a != b or not a.isspace():
            break
        length += 1
    return one[:length]


def _nonempty(*segments: DiffSegment) -> Iterator[DiffSegment]:
    return (segment for segment in segments if segment.text)


def joined_segments(segments: Iterator[DiffSegment]) -> Iterator[DiffSegment]:
    """Yield segments, joining neighbours of the same kind."""
    for kind, group in groupby(segments, key=lambda segment: segment.kind):
        yield DiffSegment(kind, "".join(segment.text for segment in group))
