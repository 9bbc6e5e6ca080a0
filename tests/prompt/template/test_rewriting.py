"""Templates that rewrite earlier turns: each response is scored after the prompt that preceded it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Header, Memory, Session, Thinking

Templates: TypeAlias = Callable[[str], Tokenizer]
Reference: TypeAlias = Callable[..., list[int]]

NOTE = "the chat template rewrites earlier turns"
WORD = st.sampled_from(["Hi", " so", "\n", "é🙂", "7432"])
TEXT = st.lists(WORD, min_size=1, max_size=3).map("".join).filter(lambda text: bool(text.strip()))


def asked(*texts: str) -> Branch:
    return Branch(role="user", children=tuple(Content(text=text) for text in texts))


def answered(thought: str, text: str) -> Branch:
    thoughts = (Thinking(text=thought),) if thought else ()
    return Branch(role="assistant", children=(*thoughts, Content(text=text)))


def session(*nodes: Branch | Memory) -> Session:
    return Session(header=Header(id="s"), nodes=nodes)


def messages(made: Session) -> list[dict[str, Any]]:
    found = []
    for node in made.nodes:
        assert isinstance(node, Branch)
        texts = {type(leaf): leaf.text for leaf in node.children if isinstance(leaf, Content | Thinking)}
        message = {"role": node.role, "content": texts[Content]}
        found.append(message | ({"reasoning_content": texts[Thinking]} if Thinking in texts else {}))
    return found


def sequences(prompt: Prompt, tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Return what stands before each response, and the response."""
    return [
        (tokenizer.decode(prompt.context_ids(index)), tokenizer.decode(prompt.continuation_ids(index)))
        for index in range(len(prompt.responses))
    ]


MADE = session(asked("One?"), answered("first", "Yes."), asked("Two?"), answered("second", "No."), asked("Bye"))


def test_each_response_has_its_thoughts_and_the_prompt_that_preceded_it(templates: Templates) -> None:
    prompt = render(MADE, templates("forgets"))
    assert len(prompt.sequences) == len(prompt.responses)
    assert [note.startswith(NOTE) for note in prompt.notes] == [True]
    asking = "<|block|>user\nOne?<|end|>\n<|block|>assistant\n"
    assert sequences(prompt, templates("forgets")) == [
        (asking, "<think>\nfirst\n</think>\n\nYes.<|end|>"),
        (
            f"{asking}Yes.<|end|>\n<|block|>user\nTwo?<|end|>\n<|block|>assistant\n",
            "<think>\nsecond\n</think>\n\nNo.<|end|>",
        ),
    ]


def test_reasoning_that_stands_in_the_text_is_found_there_too(templates: Templates) -> None:
    inline = session(
        asked("One?"),
        answered("", "<think>\nfirst\n</think>\n\nYes."),
        asked("Two?"),
        answered("", "<think>\nsecond\n</think>\n\nNo."),
        asked("Bye"),
    )
    prompts = [render(made, templates("forgets")) for made in (inline, MADE)]
    assert sequences(prompts[0], templates("forgets")) == sequences(prompts[1], templates("forgets"))


def test_a_template_that_never_writes_thoughts_gets_them_where_it_opens_them(templates: Templates) -> None:
    prompt = render(MADE, templates("thinks"))
    assert len(prompt.sequences) == len(prompt.responses)
    asking = "<|begin|><|user|>One?<|assistant|>"
    assert sequences(prompt, templates("thinks")) == [
        (f"{asking}<think>\n", "first\n</think>\n\nYes.<|end|>"),
        (f"{asking}Yes.<|end|><|user|>Two?<|assistant|><think>\n", "second\n</think>\n\nNo.<|end|>"),
    ]


def test_a_response_without_thoughts_follows_the_thought_that_its_prompt_opened(templates: Templates) -> None:
    prompt = render(
        session(asked("One?"), answered("", "Yes."), asked("Two?"), answered("", "No.")), templates("thinks")
    )
    assert len(prompt.sequences) == len(prompt.responses)
    asking = "<|begin|><|user|>One?<|assistant|>"
    assert sequences(prompt, templates("thinks")) == [
        (f"{asking}<think>\n", "Yes.<|end|>"),
        (f"{asking}Yes.<|end|><|user|>Two?<|assistant|><think>\n", "No.<|end|>"),
    ]


def test_memories_are_left_out_of_every_pass(templates: Templates) -> None:
    memory = Memory(key="port", text="Staging listens on 7432.")
    nodes = MADE.nodes
    prompt = render(session(nodes[0], memory, *nodes[1:3], memory, *nodes[3:]), templates("forgets"))  # type: ignore[arg-type]
    bare = render(MADE, templates("forgets"))
    assert prompt.memories[0].responses == range(2)
    assert prompt.variants({"port"}) == bare.variants()
    assert [variant.owners for variant in prompt.variants()] == [(0,), (1,)]
    assert [variant.owners for variant in prompt.variants(responses=[1])] == [(1,)]
    assert len(prompt) == max(len(one) for one in prompt.sequences)
    assert prompt.memories[0].tokens == 2 * len(render(session(memory), templates("forgets")))


@pytest.mark.parametrize("shape", ["forgets", "thinks", "empty thoughts"])
@given(turns=st.lists(st.tuples(TEXT, TEXT | st.just(""), TEXT), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_every_response_follows_what_the_template_makes_of_its_prompt(
    shape: str, turns: list[tuple[str, str, str]], templates: Templates, reference: Reference
) -> None:
    made = session(*(node for question, thought, text in turns for node in (asked(question), answered(thought, text))))
    prompt = render(made, templates(shape))
    said = messages(made)
    for response in prompt.responses:
        before = reference(shape, said[: response.entry_index], add_generation_prompt=True)
        assert list(prompt.context_ids(response.index)) == before


@given(turns=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_the_prompt_before_a_response_is_what_the_template_makes_of_it(
    turns: list[tuple[str, str, str]], templates: Templates, reference: Reference
) -> None:
    made = session(*(node for question, thought, text in turns for node in (asked(question), answered(thought, text))))
    prompt = render(made, templates("forgets"))
    said = messages(made)
    for response in prompt.responses:
        before = reference("forgets", said[: response.entry_index], add_generation_prompt=True)
        whole = reference("forgets", said[: response.entry_index + 1])
        assert list(prompt.context_ids(response.index)) == before
        assert [*before, *prompt.continuation_ids(response.index)] == whole[: len(before) + response.tokens]


@pytest.mark.parametrize("final", ["Yes.", "No."])
def test_a_template_that_moves_the_system_message_is_supported(
    final: str, tmp_path: Path, make_tokenizer: Callable[..., Path]
) -> None:
    template = (
        "{{ bos_token }}{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
        "{% set ns = namespace(last=0) %}{% for m in messages %}{% if m['role'] == 'user' %}"
        "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for m in messages %}"
        "{% if m['role'] == 'user' %}[INST]{{ system + '\n\n' if loop.index0 == ns.last else '' }}{{ m['content'] }}"
        "[/INST]{% elif m['role'] == 'assistant' %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    tokenizer = Tokenizer.load(make_tokenizer(tmp_path, ["<s>", "</s>"], template))
    system = Branch(role="system", section="system", children=(Content(text="Be "), Memory(key="a", text="brief")))
    made = session(system, asked("One?"), answered("", "Yes."), asked("Two?"), answered("", final))
    prompt = render(made, tokenizer)
    assert sequences(prompt, tokenizer) == [
        ("<s>[INST]Be brief\n\nOne?[/INST]", "Yes.</s>"),
        ("<s>[INST]One?[/INST]Yes.</s>[INST]Be brief\n\nTwo?[/INST]", f"{final}</s>"),
    ]
    assert tokenizer.decode(prompt.context_ids(1, {"a"})).endswith("[INST]Be \n\nTwo?[/INST]")
