"""Lines of a laid out diff fit their cells and lose nothing."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from memscope.terminal.diff import diff_texts
from memscope.terminal.diff_layout import DiffLine, split_rows, unified_lines
from tests.terminal.strategies import TEXTS


def text_of(line: DiffLine) -> str:
    return "".join(segment.text for segment in line)


def squeezed(text: str) -> str:
    return "".join(text.split())


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(2, 30))
def test_rows_hold_all_words_within_their_width(left: str, right: str, width: int) -> None:
    rows = split_rows(diff_texts(left, right), width)
    assert squeezed("".join(text_of(row.left) for row in rows)) == squeezed(left)
    assert squeezed("".join(text_of(row.right) for row in rows)) == squeezed(right)
    assert all(cell_len(text_of(side)) <= width for row in rows for side in (row.left, row.right))


@settings(deadline=None)
@given(TEXTS, TEXTS, st.integers(2, 30))
def test_unified_lines_hold_all_words_within_their_width(left: str, right: str, width: int) -> None:
    diff = diff_texts(left, right)
    lines = unified_lines(diff, width)
    assert squeezed("".join(map(text_of, lines))) == squeezed("".join(segment.text for segment in diff.segments))
    assert all(cell_len(text_of(line)) <= width for line in lines)
    assert all(a.kind != b.kind for line in lines for a, b in pairwise(line))


def test_wide_characters_count_as_two_cells() -> None:
    rows = split_rows(diff_texts("数据库数据库", "数据库数据库"), 7)
    assert [text_of(row.left) for row in rows] == ["数据库", "数据库"]


def test_equal_words_stand_at_the_same_height_after_a_long_change() -> None:
    same = "one two three four five six"
    diff = diff_texts(f"{same} x seven eight nine ten", f"{same} {'long change ' * 4}seven eight nine ten")
    rows = split_rows(diff, 12)
    (left,) = (n for n, row in enumerate(rows) if "seven" in text_of(row.left))
    (right,) = (n for n, row in enumerate(rows) if "seven" in text_of(row.right))
    assert abs(left - right) <= 1


def test_equal_line_breaks_stand_at_the_same_height() -> None:
    rows = split_rows(diff_texts("one two three\nfour", "one two three, and more\nfour"), 10)
    assert [(text_of(row.left), text_of(row.right)) for row in rows if text_of(row.left).strip()][-1] == (
        "four",
        "four",
    )
