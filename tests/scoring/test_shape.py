"""Rows and columns known from the session alone agree with what the prompt makes of it."""

from memscope.demo import model_folder, session_path
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.scoring.shape import columns_of, one_line, rows_of
from memscope.session.load import load_session
from memscope.session.nodes import Branch, Content, Header, Memory, Session


def test_rows_and_columns_are_those_of_the_prompt() -> None:
    session = load_session(session_path())
    prompt = render(session, Tokenizer.load(model_folder()))
    rows, columns = rows_of(session), columns_of(session)
    assert [(r.key, r.section, r.first_column) for r in rows] == [
        (m.key, m.section, m.first_response) for m in prompt.memories
    ]
    assert [(c.index, c.entry_index, c.timestamp) for c in columns] == [
        (r.index, r.entry_index, r.timestamp) for r in prompt.responses
    ]


def test_a_key_that_appears_twice_is_one_row() -> None:
    twice = Memory(key="k", text="a"), Memory(key="k", text="b", section="identity")
    answer = Branch(role="assistant", children=(Content(text="x"),))
    (row,) = rows_of(Session(header=Header(id="s"), nodes=(answer, *twice)))
    assert (row.appearances, row.section, row.text, row.first_column) == (2, "identity", "b", 0)


def test_an_assistant_turn_that_says_nothing_is_no_response() -> None:
    silent = Branch(role="assistant", children=(Content(text=""), Memory(key="k", text="m")))
    assert columns_of(Session(header=Header(id="s"), nodes=(silent,))) == ()


def test_a_preview_is_one_line() -> None:
    assert one_line("a\n\n b\tc" + "x" * 500) == ("a b c" + "x" * 75)
