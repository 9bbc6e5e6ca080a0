"""Rows and columns known from the session alone agree with what the prompt makes of it, and outlive its growth."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from memscope.demo import model_folder, session_path
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.scoring.layout import layout_of, preview_line
from memscope.session.load import load_session
from memscope.session.nodes import Branch, Content, Header, Memory, Session
from tests.call_sessions import Exchange, call_session, retrieving_agent


def test_rows_and_columns_are_those_of_the_prompt() -> None:
    session = load_session(session_path())
    prompt = render(session, Tokenizer.load(model_folder()))
    layout = layout_of(session)
    assert [(r.key, r.section, r.columns) for r in layout.rows] == [
        (m.key, m.section, m.responses) for m in prompt.memories
    ]
    assert [(c.index, c.entry_index, c.timestamp) for c in layout.columns] == [
        (r.index, r.entry_index, r.timestamp) for r in prompt.responses
    ]
    measured = layout.with_token_counts(prompt)
    assert [row.tokens for row in measured.rows] == [memory.tokens for memory in prompt.memories]
    assert [column.tokens for column in measured.columns] == [response.tokens for response in prompt.responses]


def test_a_response_has_the_time_and_the_model_of_its_call() -> None:
    exchanges = retrieving_agent(2, memories=2)
    first, second = layout_of(
        call_session([exchanges[0], Exchange(exchanges[1].prompt, exchanges[1].response, {"model": "m"})])
    ).columns
    assert (first.timestamp, first.model) == ("2026-11-20T00:00:00Z", "")
    assert (second.timestamp, second.model) == ("2026-11-20T00:00:01Z", "m")
    assert first.id != second.id


def test_a_key_that_appears_twice_is_one_row() -> None:
    twice = Memory(key="k", text="a"), Memory(key="k", text="b", section="identity")
    answer = Branch(role="assistant", children=(Content(text="x"),))
    (row,) = layout_of(Session(header=Header(id="s"), nodes=(answer, *twice))).rows
    assert (row.appearances, row.section, row.text, row.columns) == (2, "identity", "b", range(1))


def test_an_assistant_turn_that_says_nothing_is_no_response() -> None:
    silent = Branch(role="assistant", children=(Content(text=""), Memory(key="k", text="m")))
    assert layout_of(Session(header=Header(id="s"), nodes=(silent,))).columns == ()


def test_a_preview_is_one_line() -> None:
    assert preview_line("a\n\n b\tc" + "x" * 500) == ("a b c" + "x" * 75)


def test_a_memory_affects_the_responses_after_it(small_session: Session) -> None:
    layout = layout_of(small_session)
    assert layout.affected_responses("db/port") == layout.responses
    assert layout.affected_responses("retro/time") == layout.responses[1:]
    with pytest.raises(KeyError):
        layout.affected_responses("unknown")


def test_ids_stay_when_the_session_grows_and_tell_equal_answers_apart(small_session: Session) -> None:
    again = small_session.nodes[-1]
    before = layout_of(small_session).responses
    after = layout_of(replace(small_session, nodes=(*small_session.nodes, again))).responses
    assert after[: len(before)] == before
    assert len(set(after)) == len(before) + 1, "the same words at another place are another response"
