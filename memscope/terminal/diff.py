"""A response and its alternate word by word, as data for two layouts: side by side and unified.

Invariants: nothing is lost (the same and removed parts joined are the left text, the same and added parts the right
one), and a change is never interrupted by just one or two equal words. Where two texts have too little in common, each
is one block, because a diff of them would be confetti. Widths are terminal cells, never characters.

Give texts that are fit for a terminal already: what is shown must not change its width afterwards.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby, pairwise, zip_longest
from typing import Literal, TypeAlias

import msgspec
from rich.cells import cell_len

__all__ = ["Diff", "Kind", "Line", "Row", "Segment", "diff_texts", "split_rows", "unified_lines", "words_of"]

Kind: TypeAlias = Literal["same", "removed", "added"]

_ALIKE = 0.4
"""Share of words in common below which both texts are shown whole."""

_SHORT_RUN = 2
"""So few equal words between two changes become part of them."""

_PAIR_LIMIT = 150_000
"""Pairs of equal words that `SequenceMatcher` may look at once; prose of 2,000 words has about 60,000. Its time grows
with their number times the number of changes; past this, what lies between the common ends is one change."""

_TAB = "    "
_MARKS = frozenset({"Mn", "Mc", "Me"})
_JOINER = "\u200d"
_INSIDE_WORDS = frozenset("'’-\u200c")
_SPACELESS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x312F),  # CJK radicals and punctuation, kana, bopomofo
    (0x31A0, 0x9FFF),  # CJK ideographs and their extensions
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9D),  # halfwidth kana
    (0x1B000, 0x1B16F),
    (0x20000, 0x3FFFF),
)
"""Scripts without spaces between words: each character is a word. Korean has spaces, so its words stay whole."""


class Segment(msgspec.Struct, frozen=True):
    """Some text that is in both texts, or only in the left ("removed") or the right one ("added")."""

    kind: Kind
    text: str


Line: TypeAlias = tuple[Segment, ...]
"""What stands on one line of a terminal, without its line break."""


class Row(msgspec.Struct, frozen=True):
    """One line of the side-by-side layout: at most the asked width each."""

    left: Line
    right: Line


class Diff(msgspec.Struct, frozen=True):
    """Two texts compared.

    Attributes:
        segments: In reading order; a removed one comes before the added one that stands in its place.
        similarity: Twice the words shown as equal over the words of both texts, 0 to 1.
        blocks: Whether the texts have so little in common that each is shown whole.
    """

    segments: tuple[Segment, ...]
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


def words_of(text: str) -> list[str]:
    """Return a text in pieces that joined are the text: words, runs of blanks, single other characters.

    Combining marks, emoji sequences and flags stay whole; a character of a script without spaces is a word.
    """
    starts = list(_boundaries(text))
    return [text[start:end] for start, end in pairwise([*starts, len(text)])]


def diff_texts(left: str, right: str) -> Diff:
    """Compare two texts word by word.

    2,000 words take some hundredths of a second; larger or more repetitive texts are bounded by `_PAIR_LIMIT`.
    """
    one, two = _Words(left), _Words(right)
    pairs = _without_short_runs(_equal_words(one.words, two.words), len(one.words), len(two.words))
    total = len(one.words) + len(two.words)
    similarity = 2 * len(pairs) / total if total else 1.0
    if left != right and similarity < _ALIKE:
        return Diff(tuple(_nonempty(Segment("removed", left), Segment("added", right))), similarity, blocks=True)
    return Diff(tuple(_joined(_segments(one, two, pairs))), similarity, blocks=False)


def split_rows(diff: Diff, width: int) -> list[Row]:
    """Lay a diff out side by side; after each change, what is equal again begins at the same height.

    Args:
        diff: What to show.
        width: Cells of each of the two columns, at least 2 since some characters take two.
    """
    left, right = _Column(width), _Column(width)
    for segment in diff.segments:
        if segment.kind == "same":
            _add_to_both(left, right, segment.text)
        else:
            (left if segment.kind == "removed" else right).add(segment)
    return [Row(one, two) for one, two in zip_longest(left.finished(), right.finished(), fillvalue=())]


def unified_lines(diff: Diff, width: int) -> list[Line]:
    """Lay a diff out as one text in which removed parts come before what was added in their place.

    Args:
        diff: What to show.
        width: Cells of a line, at least 2.
    """
    column = _Column(width)
    for number, segment in enumerate(diff.segments):
        if diff.blocks and number:
            column.begin_line()
        column.add(segment)
    return column.finished()


class _Column:
    """Lines of at most `width` cells that are filled word by word."""

    def __init__(self, width: int) -> None:
        self._width = max(2, width)
        self._lines: list[list[Segment]] = [[]]
        self._used = 0

    @property
    def height(self) -> int:
        return len(self._lines)

    def finished(self) -> list[Line]:
        return [tuple(_joined(iter(line))) for line in self._lines]

    def begin_line(self) -> None:
        self._lines.append([])
        self._used = 0

    def reach(self, height: int) -> None:
        while self.height < height:
            self.begin_line()

    def add(self, segment: Segment) -> None:
        for number, line in enumerate(segment.text.split("\n")):
            if number:
                self.begin_line()
            for word in words_of(line.replace("\t", _TAB)):
                self._word(segment.kind, word)

    def _word(self, kind: Kind, word: str) -> None:
        cells = cell_len(word)
        if self._used + cells > self._width and self._used:
            self.begin_line()
            if word.isspace():
                return
        if cells > self._width:
            self._long_word(kind, word)
        else:
            self._put(kind, word, cells)

    def _long_word(self, kind: Kind, word: str) -> None:
        for cluster in _clusters(word):
            cells = cell_len(cluster)
            if self._used + cells > self._width and self._used:
                self.begin_line()
            self._put(kind, cluster, cells)

    def _put(self, kind: Kind, text: str, cells: int) -> None:
        self._lines[-1].append(Segment(kind, text))
        self._used += cells


def _add_to_both(left: _Column, right: _Column, text: str) -> None:
    for number, line in enumerate(text.split("\n")):
        height = max(left.height, right.height)
        for column in (left, right):
            column.reach(height)
            if number:
                column.begin_line()
            column.add(Segment("same", line))


class _Words:
    """The words of a text and where they stand in it; blanks are between words."""

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
"""The numbers of two equal words."""


def _boundaries(text: str) -> Iterator[int]:
    start = 0
    for number in range(len(text)):
        if not number or not _continues(text, start, number):
            start = number
            yield number


def _clusters(word: str) -> Iterator[str]:
    """Yield a word's characters as a reader counts them: each with the marks and joined symbols that follow it."""
    starts = [n for n in range(len(word)) if not n or not (_extends(word[n]) or word[n - 1] == _JOINER)]
    return (word[start:end] for start, end in pairwise([*starts, len(word)]))


def _continues(text: str, start: int, number: int) -> bool:
    """Whether the character at `number` belongs to the piece that began at `start`."""
    first, last, character = text[start], text[number - 1], text[number]
    if character.isspace() or last.isspace():
        return character.isspace() and last.isspace()
    if last == _JOINER or _extends(character):
        return True
    if _is_flag_half(character):
        return number - start == 1 and _is_flag_half(first)
    if not _is_letter(first):
        return False
    if character in _INSIDE_WORDS:
        return _is_letter(text[number + 1 : number + 2])
    return _is_letter(character)


def _is_letter(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _spaceless(character)


def _extends(character: str) -> bool:
    code = ord(character)
    if code < 0x300:
        return False
    emoji_part = 0x1F3FB <= code <= 0x1F3FF or 0xE0020 <= code <= 0xE007F
    return character == _JOINER or emoji_part or unicodedata.category(character) in _MARKS


def _is_flag_half(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _spaceless(character: str) -> bool:
    code = ord(character)
    return code >= 0x0E00 and any(first <= code <= last for first, last in _SPACELESS)


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
    """Drop runs of one or two equal words that stand between two changes."""
    kept: list[Pair] = []
    diagonals = groupby(enumerate(pairs), key=lambda item: (item[1][0] - item[0], item[1][1] - item[0]))
    for _, group in diagonals:
        run = [pair for _, pair in group]
        at_an_end = run[0] == (0, 0) or run[-1] == (lefts - 1, rights - 1)
        if len(run) > _SHORT_RUN or at_an_end:
            kept += run
    return kept


def _segments(left: _Words, right: _Words, pairs: Sequence[Pair]) -> Iterator[Segment]:
    at, other = 0, 0
    for one, two in pairs:
        yield from _change(left.text[at : left.starts[one]], right.text[other : right.starts[two]])
        yield Segment("same", left.words[one])
        at, other = left.end(one), right.end(two)
    yield from _change(left.text[at:], right.text[other:])


def _change(removed: str, added: str) -> Iterator[Segment]:
    """Yield what stands between two equal words; the blanks that both texts have there are no change."""
    before = _common_blanks(removed, added)
    removed, added = removed[len(before) :], added[len(before) :]
    after = _common_blanks(removed[::-1], added[::-1])[::-1]
    end = -len(after) or None
    yield from _nonempty(
        Segment("same", before),
        Segment("removed", removed[:end]),
        Segment("added", added[:end]),
        Segment("same", after),
    )


def _common_blanks(one: str, two: str) -> str:
    length = 0
    for a, b in zip(one, two, strict=False):
        if a != b or not a.isspace():
            break
        length += 1
    return one[:length]


def _nonempty(*segments: Segment) -> Iterator[Segment]:
    return (segment for segment in segments if segment.text)


def _joined(segments: Iterator[Segment]) -> Iterator[Segment]:
    for kind, group in groupby(segments, key=lambda segment: segment.kind):
        yield Segment(kind, "".join(segment.text for segment in group))
