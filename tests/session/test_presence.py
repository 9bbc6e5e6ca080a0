"""What a response's prompt contains."""

from __future__ import annotations

from memscope.session.nodes import Branch, Content, Header, Session
from memscope.session.presence import nodes_before
from tests.call_sessions import Exchange, call_session, message


def test_the_nodes_before_a_response_are_those_of_its_call() -> None:
    asked, other, answer = message("user", "Who?"), message("user", "Make a title."), message("assistant", "Mira.")
    session = call_session(
        [Exchange([asked], answer), Exchange([other], answer), Exchange([asked, answer, other], answer)]
    )
    prompts = [[session.nodes.index(node) for node in nodes_before(session, index)] for index in range(4)]
    assert prompts == [[0], [2], [0, 1, 2], []]


def test_the_nodes_before_a_response_of_an_append_only_session_are_all_before_it() -> None:
    turns = [Branch(role=role, children=(Content(text=role),)) for role in ("user", "assistant", "user", "assistant")]
    session = Session(header=Header(id="s"), nodes=tuple(turns))
    assert [nodes_before(session, index) for index in range(3)] == [turns[:1], turns[:3], []]
