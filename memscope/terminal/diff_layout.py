"""Lay out a word diff for a terminal, side by side or unified.

Widths are terminal cells, not characters. The texts must already be safe for a terminal, so that their width does not
change afterwards.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TypeAlias

import msgspec
from rich.cells import cell_len

from memscope.terminal.diff import ChangeKind, Diff, DiffSegment, joined_segments
from memscope.terminal.words import clusters, words_of

__all__ = ["DiffLine", "DiffRow", "split_rows", "unified_lines"]

_TAB = "    "

DiffLine: TypeAlias = tuple[DiffSegment, ...]
"""The content of one line of a terminal, without the line break."""


class DiffRow(msgspec.Struct, frozen=True):
    """One line of the side-by-side layout; each side has at most the requested width."""

    left: DiffLine
    right: DiffLine


def split_rows(diff: Diff, width: int) -> list[DiffRow]:
    """Lay out a diff side by side; unchanged text after a change starts on the same line in both columns.

    Args:
        diff: The diff.
        width: Width of each column in cells, at least 2, since some characters are two cells wide.
    """
    left, right = _Column(width), _Column(width)
    for segment in diff.segments:
        if segment.kind == "same":
            _add_to_both(left, right, segment.text)
        else:
            (left if segment.kind == "removed" else right).add(segment)
    return [DiffRow(one, two) for one, two in zip_longest(left.finished(), right.finished(), fillvalue=())]


def unified_lines(diff: Diff, width: int) -> list[DiffLine]:
    """Lay out a diff as one text in which removed parts come before their replacements.

    Args:
        diff: The diff.
        width: Line width in cells, at least 2.
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
        self._lines: list[list[DiffSegment]] = [[]]
        self._used = 0

    @property
    def height(self) -> int:
        return len(self._lines)

    def finished(self) -> list[DiffLine]:
        return [tuple(joined_segments(iter(line))) for line in self._lines]

    def begin_line(self) -> None:
        self._lines.append([])
        self._used = 0

    def reach(self, height: int) -> None:
        while self.height < height:
            self.begin_line()

    def add(self, segment: DiffSegment) -> None:
        for number, line in enumerate(segment.text.split("\n")):
            if number:
                self.begin_line()
            for word in words_of(line.replace("\t", _TAB)):
                self._word(segment.kind, word)

    def _word(self, kind: ChangeKind, word: str) -> None:
        cells = cell_len(word)
        if self._used + cells > self._width and self._used:
            self.begin_line()
            if word.isspace():
                return
        if cells > self._width:
            self._long_word(kind, word)
        else:
            self._put(kind, word, cells)

    def _long_word(self, kind: ChangeKind, word: str) -> None:
        for cluster in clusters(word):
            cells = cell_len(cluster)
            if self._used + cells > self._width and self._used:
                self.begin_line()
            self._put(kind, cluster, cells)

    def _put(self, kind: ChangeKind, text: str, cells: int) -> None:
        self._lines[-1].append(DiffSegment(kind, text))
        self._used += cells


def _add_to_both(left: _Column, right: _Column, text: str) -> None:
    for number, line in enumerate(text.split("\n")):
        height = max(left.height, right.height)
        for column in (left, right):
            column.reach(height)
            if number:
                column.begin_line()
            column.add(DiffSegment("same", line))
