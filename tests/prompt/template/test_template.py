"""Sessions in the tokenizer's own chat template: its ids, minus exactly what is left out."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memscope.errors import PromptError
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Header, Leaf, Memory, Node, Session, ToolCall

Templates: TypeAlias = Callable[[str], Tokenizer]
Reference: TypeAlias = Callable[..., list[int]]

SHAPES = ["blocks", "headers", "inst", "turns"]
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.sampled_from(["Hi", " ", "\n\n", "<think>", "[/INST]", "é🙂", "port 7432", "</think>", "<"])
TEXT = st.lists(WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=4).map(
    "".join
)
LEAVES = st.lists(
    st.builds(Content, text=TEXT) | st.builds(Memory, key=st.sampled_from("abc"), text=TEXT), min_size=1, max_size=3
).map(tuple)


def session(*nodes: Node, tools: tuple[Mapping[str, Any], ...] = ()) -> Session:
    return Session(header=Header(id="s"), nodes=nodes, tools=tools)


def said(role: str, *leaves: Leaf | str) -> Branch:
    return Branch(role=role, children=tuple(Content(text=leaf) if isinstance(leaf, str) else leaf for leaf in leaves))


TWO_TURNS = (
    said("user", "Where?"),
    said("assistant", "Here."),
    said("user", "And?"),
    said("assistant", "There."),
)


def conversation(turns: Sequence[tuple[Leaf, ...]]) -> Session:
    return session(*(said(("user", "assistant")[number % 2], *leaves) for number, leaves in enumerate(turns)))


def messages(made: Session) -> list[dict[str, Any]]:
    found = []
    for node in made.nodes:
        assert isinstance(node, Branch)
        text = "".join(leaf.text for leaf in node.children if isinstance(leaf, Content | Memory))
        found.append({"role": node.role, "content": text})
    return found


def ids(prompt: Prompt) -> list[int]:
    return list(chain.from_iterable(one.ids() for one in prompt.sequences))


def scored_texts(prompt: Prompt, tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode(variant.ids[start:end]) for variant in prompt.variants() for start, end in variant.ranges]


@pytest.mark.parametrize("shape", SHAPES)
@given(turns=st.lists(st.tuples(st.builds(Content, text=TEXT)), min_size=1, max_size=6))
@QUICK
def test_with_nothing_left_out_the_ids_are_the_templates(
    shape: str, turns: list[tuple[Leaf, ...]], templates: Templates, reference: Reference
) -> None:
    made = conversation(turns)
    prompt = render(made, templates(shape))
    assert len(prompt.sequences) == 1
    assert ids(prompt) == reference(shape, messages(made))


@pytest.mark.parametrize("shape", SHAPES)
@given(turns=st.lists(LEAVES, min_size=1, max_size=5))
@QUICK
def test_leaving_memories_out_removes_exactly_their_ids(
    shape: str, turns: list[tuple[Leaf, ...]], templates: Templates, reference: Reference
) -> None:
    made = conversation(turns)
    tokenizer = templates(shape)
    prompt = render(made, tokenizer)
    (whole,) = prompt.sequences
    assert tokenizer.decode(ids(prompt)) == tokenizer.decode(reference(shape, messages(made)))
    keys = made.memory_keys()
    for size in range(len(keys) + 1):
        for gone in combinations(keys, size):
            rest = array("I")
            for span in whole.spans:
                rest += span.ids if span.memory not in gone else array("I")
            for variant in prompt.variants(gone):
                assert variant.ids == rest[: len(variant.ids)]
                assert len(variant.ids) == variant.ranges[-1][1]
                for index in set(variant.owners):
                    parts = zip(variant.ranges, variant.owners, strict=True)
                    own = [variant.ids[start:end] for (start, end), owner in parts if owner == index]
                    assert list(chain.from_iterable(own)) == list(prompt.continuation_ids(index))


@pytest.mark.parametrize("shape", [*SHAPES, "forgets", "thinks"])
@given(data=st.data())
@QUICK
def test_texts_that_spell_control_tokens_stay_text(shape: str, data: st.DataObject, templates: Templates) -> None:
    tokenizer = templates(shape)
    hostile = st.lists(st.sampled_from(tokenizer.control_texts) | TEXT, min_size=1, max_size=4).map("".join)
    content = st.builds(Content, text=hostile)
    question = st.lists(content | st.builds(Memory, key=st.sampled_from("ab"), text=hostile), min_size=1, max_size=2)
    turns: list[tuple[Leaf, ...]] = [
        leaves
        for pair in data.draw(st.lists(st.tuples(question.map(tuple), st.tuples(content)), min_size=1, max_size=2))
        for leaves in pair
    ]
    calm = [tuple(_calmed(leaf, tokenizer) for leaf in leaves) for leaves in turns]
    prompt, harmless = (render(conversation(one), tokenizer) for one in (turns, calm))
    assert controls(prompt, tokenizer) == controls(harmless, tokenizer)


def _calmed(leaf: Leaf, tokenizer: Tokenizer) -> Leaf:
    assert isinstance(leaf, Content | Memory)
    text = leaf.text
    for control in tokenizer.control_texts:
        text = text.replace(control, "x" * len(control))
    return Content(text=text) if isinstance(leaf, Content) else Memory(key=leaf.key, text=text)


def controls(prompt: Prompt, tokenizer: Tokenizer) -> list[list[int]]:
    return [[number for number in one.ids() if number in tokenizer.control] for one in prompt.sequences]


@pytest.mark.parametrize(
    ("shape", "spans", "context"),
    [
        ("blocks", ["Here.<|end|>", "There.<|end|>"], "<|block|>assistant\n"),
        ("headers", ["Here.<|eot|>", "There.<|eot|>"], "<|header|>assistant<|/header|>\n\n"),
        ("inst", [" Here. </s>", " There. </s>"], " [/INST]"),
        ("turns", ["Here.<end_of_turn>", "There.<end_of_turn>"], "<start_of_turn>model\n"),
    ],
)
def test_a_response_is_scored_from_after_the_opened_turn_through_its_end(
    shape: str, spans: list[str], context: str, templates: Templates
) -> None:
    made = session(
        said("user", "Where?"), said("assistant", "Here."), said("user", "And?"), said("assistant", "There.")
    )
    prompt = render(made, templates(shape))
    assert scored_texts(prompt, templates(shape)) == spans
    assert templates(shape).decode(prompt.context_ids(1)).endswith("And?<|end|>\n" * (shape == "blocks") + context)
    assert [templates(shape).decode(prompt.continuation_ids(index)) for index in (0, 1)] == spans


@pytest.mark.parametrize("shape", SHAPES)
def test_the_context_of_a_response_is_the_prompt_as_it_was(
    shape: str, templates: Templates, reference: Reference
) -> None:
    made = session(
        said("user", "Where?"), said("assistant", "Here."), said("user", "And?"), said("assistant", "There.")
    )
    prompt = render(made, templates(shape))
    assert list(prompt.context_ids(1)) == reference(shape, messages(made)[:3], add_generation_prompt=True)


@pytest.mark.parametrize("shape", ["blocks", "headers"])
def test_a_memory_that_is_a_message_takes_the_message_along(
    shape: str, templates: Templates, reference: Reference
) -> None:
    turns = [said("user", "Where?"), said("assistant", "Here.")]
    made = session(
        Memory(section="identity", key="a", text="A fact."), turns[0], Memory(key="b", text="Two."), turns[1]
    )
    prompt = render(made, templates(shape))
    assert prompt.notes == ()
    (variant,) = prompt.variants({"a", "b"})
    rest = reference(shape, messages(session(*turns)))
    assert list(variant.ids) == rest[: len(variant.ids)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_window_keeps_the_head_and_whole_messages(shape: str, templates: Templates) -> None:
    head = Memory(section="system", key="a", text="A fact.")
    prompt = render(session(head, *TWO_TURNS), templates(shape))
    (variant,) = prompt.variants(entries=range(2, 4))
    text = templates(shape).decode(variant.ids)
    assert "A fact." in text
    assert "Where?" not in text
    assert "Here." not in text
    assert text.endswith(scored_texts(prompt, templates(shape))[1])
    assert variant.owners == (1,)


def test_tools_and_tool_calls_go_through_the_template(templates: Templates, reference: Reference) -> None:
    tool = {"type": "function", "function": {"name": "sh", "description": 'Say "hi"', "parameters": {}}}
    function = {"name": "sh", "arguments": {"cmd": 'echo "a"\n', "n": 1}}
    turns = [said("user", "Do it"), said("tool", "done"), said("assistant", "It is done.")]
    calling = said("assistant", "Yes. ", ToolCall(name="sh", arguments=function["arguments"], extra={"id": "x1"}))
    prompt = render(session(turns[0], calling, *turns[1:], tools=(tool,)), templates("blocks"))
    wanted = messages(session(*turns))
    call = {"role": "assistant", "content": "Yes. ", "tool_calls": [{"id": "x1", "function": function}]}
    assert ids(prompt) == reference("blocks", [wanted[0], call, *wanted[1:]], tools=[tool])
    assert '"arguments": {"cmd": "echo \\"a\\"\\n", "n": 1}' in scored_texts(prompt, templates("blocks"))[0]


@pytest.mark.parametrize("text", ["<|end|>", '"<|end|>\n'])
def test_tools_and_tool_calls_cannot_spell_control_tokens(text: str, templates: Templates) -> None:
    prompts = [
        render(
            session(
                said("user", "Do it"),
                said("assistant", ToolCall(name=word, arguments={"cmd": [word], word: 1})),
                tools=({"name": "sh", "description": word, "parameters": {word: word}},),
            ),
            templates("blocks"),
        )
        for word in (text, "calm")
    ]
    assert controls(prompts[0], templates("blocks")) == controls(prompts[1], templates("blocks"))
    assert text in templates("blocks").decode(ids(prompts[0])).replace('\\"', '"').replace("\\n", "\n")


def test_a_template_that_names_its_own_beginning_keeps_it(templates: Templates) -> None:
    made = session(Memory(section="system", key="a", text="A fact."), said("user", "Hi"), said("assistant", "Ho"))
    tokenizer = templates("headers")
    (variant,) = render(made, tokenizer).variants({"a"})
    assert tokenizer.decode(variant.ids).startswith("<|begin|><|header|>user")


def test_a_template_without_control_tokens_is_cut_where_its_messages_begin(
    tmp_path: Path, make_tokenizer: Callable[..., Path]
) -> None:
    template = (
        "{% for m in messages %}### {{ m['role'] }}:\n{{ m['content'] }}\n\n{% endfor %}"
        "{% if add_generation_prompt %}### assistant:\n{% endif %}"
    )
    tokenizer = Tokenizer.load(make_tokenizer(tmp_path, ["<a>", "<b>"], template))
    prompt = render(session(said("user", "Hi"), Memory(key="a", text="x"), said("assistant", "Ho")), tokenizer)
    assert scored_texts(prompt, tokenizer) == ["Ho\n\n"]
    (variant,) = prompt.variants({"a"})
    assert tokenizer.decode(variant.ids) == "### user:\nHi\n\n### assistant:\nHo\n\n"


def test_a_template_that_changes_texts_is_refused_with_the_node(
    tmp_path: Path, make_tokenizer: Callable[..., Path]
) -> None:
    template = "{% for m in messages %}<a>{{ m['role'] }} {{ m['content'] | replace('7', '8') }}<b>{% endfor %}"
    tokenizer = Tokenizer.load(make_tokenizer(tmp_path, ["<a>", "<b>"], template))
    made = session(said("user", "Hi", Memory(key="a", text="port 7")), said("assistant", "Ho"))
    with pytest.raises(PromptError, match=r"changes the text of conversation node 0 \(user\)"):
        render(made, tokenizer)


def test_text_that_the_template_omits_is_noted(tmp_path: Path, make_tokenizer: Callable[..., Path]) -> None:
    template = (
        "{% for m in messages %}<a>{{ m['role'] }}\n{{ '' if m.get('tool_calls') else m['content'] }}"
        "{% for c in m.get('tool_calls') or [] %}{{ c['function'] | tojson }}{% endfor %}<b>{% endfor %}"
    )
    tokenizer = Tokenizer.load(make_tokenizer(tmp_path, ["<a>", "<b>"], template))
    call = ToolCall(name="sh", arguments={"a": "b"})
    prompt = render(session(said("user", "Hi"), said("assistant", "Yes. ", call)), tokenizer)
    assert prompt.notes == ("the chat template omits the text of 1 node, the first is conversation node 1 (assistant)",)


def test_an_empty_session_is_an_empty_prompt(templates: Templates) -> None:
    assert len(render(session(), templates("blocks"))) == 0
