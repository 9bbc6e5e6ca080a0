"""The word diff: nothing is lost, changes are whole, and lines fit their cells."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from memscope.terminal.diff import Diff, Line, Segment, diff_texts, split_rows, unified_lines, words_of

WORDS = st.sampled_from(["the", "port", "is", "7432", "9000", ",", "数", "库", "👩‍💻", "e\u0301", "🇩🇪", "don't", "a-b"])
BLANKS = st.sampled_from([" ", " ", " ", "  ", "\n", "\t", ""])
TEXTS = st.one_of(
    st.lists(st.tuples(WORDS, BLANKS), max_size=30).map(lambda parts: "".join(w + b for w, b in parts)),
    st.text(max_size=60),
)
SENTENCES = st.lists(WORDS, max_size=30).map(" ".join)


def kinds(diff: Diff) -> list[tuple[str, str]]:
    return [(segment.kind, segment.text) for segment in diff.segments]


def text_of(line: Line) -> str:
    return "".join(segment.text for segment in line)


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(TEXTS)
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(words_of(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop, now", ["don't", " ", "stop", ",", " ", "now"]),
        ("数据库is on", ["数", "据", "库", "is", " ", "on"]),
        ("ひらカナ", ["ひ", "ら", "カ", "ナ"]),
        ("데이터베이스 포트", ["데이터베이스", " ", "포트"]),
        ("👩‍💻👍🏽🇩🇪🇫🇷1️⃣", ["👩‍💻", "👍🏽", "🇩🇪", "🇫🇷", "1️⃣"]),
        ("cafe\u0301 x", ["cafe\u0301", " ", "x"]),
        ("a - b\r\n\tc", ["a", " ", "-", " ", "b", "\r\n\t", "c"]),
        ("snake_case v1.2", ["snake_case", " ", "v1", ".", "2"]),
    ],
)
def test_words_are_what_a_reader_takes_for_one(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(TEXTS, TEXTS)
def test_nothing_is_lost(left: str, right: str) -> None:
    diff = diff_texts(left, right)
    assert (diff.left, diff.right) == (left, right)
    assert all(segment.text for segment in diff.segments)
    assert 0 <= diff.similarity <= 1


@given(SENTENCES, SENTENCES)
def test_no_change_is_interrupted_by_one_or_two_equal_words(left: str, right: str) -> None:
    segments = diff_texts(left, right).segments
    for number, segment in enumerate(segments):
        words = [word for word in words_of(segment.text) if not word.isspace()]
        if segment.kind == "same" and 0 < number < len(segments) - 1 and words:
            assert len(words) > 2


@given(TEXTS)
def test_equal_texts_have_no_change(text: str) -> None:
    diff = diff_texts(text, text)
    assert all(segment.kind == "same" for segment in diff.segments)
    assert (diff.similarity, diff.blocks) == (1.0, False)


def test_a_changed_word_stands_alone_between_what_stays() -> None:
    diff = diff_texts("the port of the database is 7432 today", "the port of the database is 9000 today")
    assert kinds(diff) == [
        ("same", "the port of the database is "),
        ("removed", "7432"),
        ("added", "9000"),
        ("same", " today"),
    ]


def test_changes_two_words_apart_are_one() -> None:
    left, right = "a b c d X e f Y g h i j", "a b c d P e f Q g h i j"
    assert kinds(diff_texts(left, right)) == [
        ("same", "a b c d "),
        ("removed", "X e f Y"),
        ("added", "P e f Q"),
        ("same", " g h i j"),
    ]


def test_changes_three_words_apart_are_two() -> None:
    diff = diff_texts("a b c d X e f g Y h i j", "a b c d P e f g Q h i j")
    assert ("same", " e f g ") in kinds(diff)


def test_a_removed_word_takes_one_blank_with_it() -> None:
    assert ("removed", "really ") in kinds(diff_texts("that is really a good idea", "that is a good idea"))


def test_different_blanks_are_a_change() -> None:
    assert kinds(diff_texts("one two three", "one two\nthree")) == [
        ("same", "one two"),
        ("removed", " "),
        ("added", "\n"),
        ("same", "three"),
    ]


def test_cjk_is_compared_by_character() -> None:
    assert kinds(diff_texts("数据库的端口是七四三二号", "数据库的端口是九零零零号")) == [
        ("same", "数据库的端口是"),
        ("removed", "七四三二"),
        ("added", "九零零零"),
        ("same", "号"),
    ]


def test_an_emoji_sequence_is_never_split() -> None:
    diff = diff_texts("done by one two three 👩‍💻", "done by one two three 👩‍🚀")
    assert kinds(diff)[1:] == [("removed", "👩‍💻"), ("added", "👩‍🚀")]


def test_texts_with_little_in_common_are_two_blocks() -> None:
    diff = diff_texts("the port is 7432", "I do not know what port that is")
    assert diff.blocks
    assert [segment.kind for segment in diff.segments] == ["removed", "added"]
    assert unified_lines(diff, 80) == [
        (Segment("removed", "the port is 7432"),),
        (Segment("added", "I do not know what port that is"),),
    ]


def test_against_an_empty_text_everything_is_new() -> None:
    assert kinds(diff_texts("", "new")) == [("added", "new")]
    assert kinds(diff_texts("", "")) == []


def test_past_the_bound_only_the_common_ends_are_compared() -> None:
    left = "begin " * 5 + "x y " * 4000 + "end"
    right = "begin " * 5 + "y x " * 4000 + "end"
    diff = diff_texts(left, right)
    assert diff.blocks, "two long texts of the same two words are not compared word by word"
    assert (diff.left, diff.right) == (left, right)


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
