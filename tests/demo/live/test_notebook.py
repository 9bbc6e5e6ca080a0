"""The notes that a question finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memscope.demo.live.notebook import Note, Notebook
from memscope.demo.live.script import NOTES


def _found(question: str, count: int = 3) -> list[str]:
    return [note.key for note in Notebook(NOTES).search(question, count)]


def test_the_best_match_comes_first() -> None:
    assert _found("Which port does the staging database use?")[0] == "staging-database/port"
    assert "orchid/deadline" in _found("What is the deadline for orchid?")


def test_words_that_many_notes_have_count_least() -> None:
    notes = [Note("a", "orchid ships late"), Note("b", "orchid has a budget"), Note("c", "orchid is pinned")]
    assert [note.key for note in Notebook(notes).search("the budget of orchid", 1)] == ["b"]


def test_a_question_without_shared_words_finds_nothing() -> None:
    assert _found("Thanks!") == []


def test_a_note_written_again_replaces_the_one_before() -> None:
    notebook = Notebook([Note("mira/room", "Mira sits in room C217.")])
    notebook.write(Note("mira/room", "Mira sits in room D340."))
    assert notebook.search("Where is Mira?", 3) == [Note("mira/room", "Mira sits in room D340.")]


@given(st.text(), st.integers(0, 5))
def test_any_question_finds_distinct_notes_and_no_more_than_asked_for(question: str, count: int) -> None:
    found = _found(question, count)
    assert len(found) == len(set(found)) <= count
