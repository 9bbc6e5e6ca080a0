"""ChatML: the table of the session format, node by node."""

from __future__ import annotations

from array import array
from itertools import chain, combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import memscope.demo
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import (
    SECTIONS,
    Branch,
    Content,
    Header,
    Log,
    Memory,
    Node,
    Session,
    Thinking,
    ToolCall,
    ToolResult,
)

UNHURRIED = settings(deadline=None)
TOKENIZER = Tokenizer.load(Path(memscope.demo.__file__).parent / "model")
E = TOKENIZER.encode
START, END = TOKENIZER.token_id("<|im_start|>"), TOKENIZER.token_id("<|im_end|>")

KEYS = st.sampled_from(["name", "port", "key"])
TEXTS = st.lists(
    st.sampled_from(["Hi ", "é🙂", "<|im_end|>", "\n", "<think>", "user"]) | st.text(max_size=8), max_size=3
)
TEXT = TEXTS.map(lambda parts: "".join(parts).encode("utf-8", "replace").decode())
SECTION = st.sampled_from(SECTIONS)
MEMORY = st.builds(Memory, key=KEYS, text=TEXT, section=SECTION)
LEAF = st.one_of(
    MEMORY,
    st.builds(Content, text=TEXT, section=SECTION),
    st.builds(Thinking, text=TEXT, section=SECTION),
    st.builds(ToolCall, name=TEXT, arguments=st.dictionaries(TEXT, TEXT, max_size=2), section=SECTION),
    st.builds(ToolResult, text=TEXT, section=SECTION),
    st.builds(Log, text=TEXT, section=SECTION),
)
BRANCH = st.builds(
    Branch,
    role=st.sampled_from(["user", "assistant", "system"]),
    section=SECTION,
    children=st.lists(LEAF, max_size=4).map(tuple),
)
SESSIONS = st.lists(BRANCH | LEAF, max_size=10).map(lambda nodes: session(*nodes))


def session(*nodes: Node) -> Session:
    return Session(header=Header(id="s"), nodes=nodes)


def ids(prompt: Prompt) -> list[int]:
    return list(chain.from_iterable(one.ids() for one in prompt.sequences))


def turn(role: str, *contents: list[int]) -> list[int]:
    assert START is not None
    assert END is not None
    return [START, *E(role + "\n"), *chain.from_iterable(contents), END, *E("\n")]


CALL = '<tool_call>\n{"name":"sh","arguments":{"cmd":"ls é","n":1}}\n</tool_call>\n'


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (Branch(role="user", children=(Content(text="Hi"), Content(text=" you"))), turn("user", E("Hi"), E(" you"))),
        (Branch(role="user", children=(Memory(key="k", text="a fact"),)), turn("user", E("a fact"))),
        (Branch(role="odd role"), turn("odd role")),
        (Memory(key="k", text="a fact"), turn("memory", E("a fact"))),
        (Content(section="identity", text="You are"), turn("system", E("You are"))),
        (Content(text="By the way"), turn("system", E("By the way"))),
        (ToolResult(text="ok"), turn("tool", E("ok"))),
        (Thinking(text="hm"), turn("assistant", E("<think>\nhm\n</think>\n"))),
        (ToolCall(name="sh", arguments={"cmd": "ls é", "n": 1}), turn("assistant", E(CALL))),
        (
            Branch(role="assistant", children=(Thinking(text="hm"), Content(text="Yes"), ToolResult(text="ok"))),
            turn("assistant", E("<think>\nhm\n</think>\n"), E("Yes"), E("ok")),
        ),
        (Branch(role="assistant", children=(Log(text="slow"), Content(text="Yes"))), turn("assistant", E("Yes"))),
        (Log(text="slow"), []),
    ],
)
def test_every_node_has_its_ids(node: Node, expected: list[int]) -> None:
    assert ids(render(session(node), TOKENIZER)) == expected


def test_sections_come_in_their_order_whatever_the_files_order() -> None:
    nodes = [Content(section=section, text=section) for section in reversed(SECTIONS)]
    expected = chain.from_iterable(turn("system", E(section)) for section in SECTIONS)
    assert ids(render(session(*nodes), TOKENIZER)) == list(expected)


def test_a_response_is_scored_from_after_its_header_through_its_end() -> None:
    question = Branch(role="user", children=(Content(text="Where?"),))
    answer = Branch(role="assistant", timestamp="2026-01-01T00:00:00Z", children=(Content(text="Here."),))
    prompt = render(session(question, answer, Log(text="x"), question), TOKENIZER)
    (variant,) = prompt.variants()
    ((start, end),) = variant.ranges
    assert list(variant.ids[start:end]) == [*E("Here."), END]
    assert list(variant.ids) == turn("user", E("Where?")) + turn("assistant", E("Here."))[: -len(E("\n"))]
    assert list(prompt.continuation_ids(0)) == [*E("Here."), END]
    assert list(prompt.context_ids(0)) == [*turn("user", E("Where?")), START, *E("assistant\n")]
    (response,) = prompt.responses
    assert (response.entry_index, response.text, response.timestamp) == (1, "Here.", "2026-01-01T00:00:00Z")
    assert response.tokens == end - start


@pytest.mark.parametrize(
    "node",
    [
        Branch(role="assistant"),
        Branch(role="assistant", children=(Content(text=""), Thinking(text=""), Log(text="x"))),
        Branch(role="assistant", children=(Memory(key="k", text="only a memory"),)),
        Branch(role="assistant", section="identity", children=(Content(text="An example."),)),
        Branch(role="user", children=(Content(text="Hi"),)),
        Thinking(text="hm"),
    ],
)
def test_what_says_nothing_of_its_own_in_the_conversation_is_no_response(node: Node) -> None:
    prompt = render(session(node), TOKENIZER)
    assert prompt.responses == ()
    assert prompt.variants() == []


def test_a_memory_inside_a_response_is_not_scored() -> None:
    children = (Content(text="As you said, "), Memory(key="k", text="port 7432"), Content(text=" it is."))
    prompt = render(session(Branch(role="assistant", children=children)), TOKENIZER)
    for without in (set[str](), {"k"}):
        (variant,) = prompt.variants(without)
        scored = [list(variant.ids[start:end]) for start, end in variant.ranges]
        assert scored == [E("As you said, "), [*E(" it is."), END]]
        assert variant.owners == (0, 0)
    assert prompt.responses[0].tokens == len(E("As you said, ")) + len(E(" it is.")) + 1


def test_what_was_guessed_is_said_once() -> None:
    prompt = render(session(Content(text="a"), Content(text="b"), Thinking(text="c")), TOKENIZER)
    assert len(prompt.notes) == 2
    assert render(session(Content(section="journal", text="a")), TOKENIZER).notes == ()


@UNHURRIED
@given(SESSIONS)
def test_leaving_memories_out_changes_no_other_nodes_ids(made: Session) -> None:
    prompt = render(made, TOKENIZER)
    (whole,) = prompt.sequences
    keys = made.memory_keys()
    assert tuple(memory.key for memory in prompt.memories) == keys
    for size in range(len(keys) + 1):
        for gone in combinations(keys, size):
            rest = array("I")
            for span in whole.spans:
                rest += span.ids if span.memory not in gone else array("I")
            for variant in prompt.variants(gone):
                assert variant.ids == rest[: len(variant.ids)]
                assert len(variant.ids) == variant.ranges[-1][1]
                assert set(variant.owners) == set(range(len(prompt.responses)))
                for index in set(variant.owners):
                    assert scored(variant.ids, variant.ranges, variant.owners, index) == prompt.continuation_ids(index)


@UNHURRIED
@given(SESSIONS)
def test_every_appearance_of_a_key_goes(made: Session) -> None:
    kept = [without_key(node) for node in made.nodes]
    bare = render(session(*(node for node in kept if node is not None)), TOKENIZER)
    left = [span for span in render(made, TOKENIZER).sequences[0].spans if span.memory != "port"]
    assert list(chain.from_iterable(span.ids for span in left)) == ids(bare)


@UNHURRIED
@given(SESSIONS)
def test_control_tokens_are_the_turns_and_nothing_else(made: Session) -> None:
    turns = sum(not isinstance(node, Log) for node in made.nodes)
    controls = [number for number in ids(render(made, TOKENIZER)) if number in TOKENIZER.control]
    assert controls == [START, END] * turns


def scored(numbers: array[int], ranges: tuple[tuple[int, int], ...], owners: tuple[int, ...], index: int) -> array[int]:
    found = array("I")
    for (start, end), owner in zip(ranges, owners, strict=True):
        assert 0 < start < end
        if owner == index:
            found += numbers[start:end]
    return found


def without_key(node: Node) -> Node | None:
    if isinstance(node, Branch):
        children = (leaf for leaf in node.children if not (isinstance(leaf, Memory) and leaf.key == "port"))
        return Branch(role=node.role, section=node.section, children=tuple(children))
    return None if isinstance(node, Memory) and node.key == "port" else node
