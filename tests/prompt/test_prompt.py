"""Windows, places of memories, and what is too long."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import memscope.demo
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Header, Memory, Node, Session

UNHURRIED = settings(deadline=None)
TOKENIZER = Tokenizer.load(Path(memscope.demo.__file__).parent / "model")


def said(role: str, text: str) -> Branch:
    return Branch(role=role, children=(Content(text=text),))


def session(*nodes: Node) -> Session:
    return Session(header=Header(id="s"), nodes=nodes)


HEAD = Memory(section="identity", key="name", text="The user is called Mira.")
NODES = (
    said("user", "Hello"),
    said("assistant", "Hello Mira."),
    Memory(key="port", text="Staging listens on 7432."),
    said("user", "Which port?"),
    said("assistant", "It is 7432."),
    Memory(key="late", text="Never needed."),
    Memory(key="port", text="Staging listens on 7432."),
)
PROMPT = render(session(HEAD, *NODES), TOKENIZER)


def test_memories_know_where_they_first_appear() -> None:
    name, port, late = PROMPT.memories
    assert (name.section, name.first_entry, name.conversation_share) == ("identity", None, 0.0)
    assert (name.responses, port.responses, late.responses) == (range(2), range(1, 2), range(2, 2))
    assert name.tokens_after == len(PROMPT.variants({name.key})[0].ids)
    assert late.tokens_after == 0
    assert (port.first_entry, late.first_entry) == (2, 5)
    assert 0 < port.conversation_share < late.conversation_share < 1


def test_a_key_with_several_appearances_is_one_memory_of_all_their_tokens() -> None:
    _, port, _ = PROMPT.memories
    alone = render(session(NODES[2]), TOKENIZER).memories[0]
    assert port.tokens == 2 * alone.tokens
    assert len(PROMPT) - sum(memory.tokens for memory in PROMPT.memories) == len(
        render(session(*(node for node in NODES if isinstance(node, Branch))), TOKENIZER)
    )


def test_a_memory_without_text_is_still_a_memory() -> None:
    empty = Branch(role="user", children=(Memory(key="empty", text=""),))
    (memory,) = render(session(empty), TOKENIZER).memories
    assert (memory.key, memory.tokens) == ("empty", 0)


def test_only_wanted_responses_are_scored_and_nothing_after_them_is_sent() -> None:
    (first,) = PROMPT.variants(responses=[0])
    (both,) = PROMPT.variants()
    assert first.owners == (0,)
    assert len(first.ids) == first.ranges[0][1] == both.ranges[0][1]
    assert first.ids == both.ids[: len(first.ids)]
    assert PROMPT.variants(responses=[]) == []


def test_a_window_keeps_the_head_and_these_nodes_only() -> None:
    (window,) = PROMPT.variants(entries=range(3, 5))
    (alone,) = render(session(HEAD, NODES[3], NODES[4]), TOKENIZER).variants()
    assert (window.ids, window.ranges) == (alone.ids, alone.ranges)
    assert window.owners == (1,)
    bare = PROMPT.context_ids(1, ["name"], entries=range(3, 5))
    assert bare == render(session(NODES[3], NODES[4]), TOKENIZER).context_ids(0)


@UNHURRIED
@given(st.integers(0, 8), st.integers(0, 8), st.sets(st.sampled_from(["name", "port", "late"])))
def test_a_window_is_the_session_of_its_nodes(start: int, stop: int, gone: set[str]) -> None:
    window = PROMPT.variants(gone, entries=range(start, stop))
    alone = render(session(HEAD, *NODES[start:stop]), TOKENIZER).variants(gone)
    assert [(variant.ids, variant.ranges) for variant in window] == [(variant.ids, variant.ranges) for variant in alone]


def test_what_overflows_is_named_with_the_tokens_so_far() -> None:
    (variant,) = PROMPT.variants()
    assert PROMPT.overflow(len(variant.ids)) is None
    last = PROMPT.overflow(len(variant.ids) - 1)
    limit = len(variant.ids) - 1
    assert last == f"conversation node 4 (assistant): {len(variant.ids)} tokens so far, the model accepts {limit}"
    assert str(PROMPT.overflow(1)).startswith("identity node 0 (memory): ")
    assert "the model accepts 1,234" in str(
        render(session(said("assistant", "word " * 4000)), TOKENIZER).overflow(1234)
    )


def test_an_empty_session_is_an_empty_prompt() -> None:
    prompt = render(session(), TOKENIZER)
    assert (len(prompt), prompt.memories, prompt.responses, prompt.largest_id) == (0, (), (), -1)
    assert prompt.variants() == []
    assert prompt.overflow(0) is None


def test_the_largest_id_tells_a_foreign_vocabulary() -> None:
    assert PROMPT.largest_id == max(PROMPT.sequences[0].ids())
