"""The word diff: nothing is lost, and changes are whole."""

from __future__ import annotations

from hypothesis import given

from memscope.terminal.diff import Diff, DiffSegment, diff_texts
from memscope.terminal.diff_layout import unified_lines
from memscope.terminal.words import words_of
from tests.terminal.strategies import SENTENCES, TEXTS


def kinds(diff: Diff) -> list[tuple[str, str]]:
    return [(segment.kind, segment.text) for segment in diff.segments]


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
        (DiffSegment("removed", "the port is 7432"),),
        (DiffSegment("added", "I do not know what port that is"),),
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
