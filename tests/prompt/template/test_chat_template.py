"""Habits of real templates: each is found out by trying, and nothing is lost or scored that is not the model's."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from memscope.errors import PromptError
from memscope.prompt.pretrained import load_pretrained
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.template.chat_template import ChatTemplate, TemplateCapabilities
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.nodes import Branch, Content, Header, Memory, Node, Session, Thinking, ToolCall, ToolResult

Make: TypeAlias = Callable[..., Path]

ASKED = Branch(role="user", children=(Content(text="Where?"),))
ANSWERED = Branch(role="assistant", children=(Content(text="Here."),))
MESSAGES = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}] * 2


def rendered(folder: Path, *nodes: Node) -> tuple[Prompt, Tokenizer]:
    tokenizer = Tokenizer.load(folder)
    return render(Session(header=Header(id="s"), nodes=nodes), tokenizer), tokenizer


def said(prompt: Prompt, tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.decode(prompt.continuation_ids(response.index)) for response in prompt.responses]


def whole(folder: Path, messages: list[dict[str, Any]]) -> list[int]:
    return list(load_pretrained(folder).apply_chat_template(messages, return_dict=False))


@pytest.mark.parametrize(
    "ending",
    [
        # Phi closes the conversation once, Command opens the next turn without being asked.
        "{% if add_generation_prompt %}<|begin|>assistant\n{% else %}{{ eos_token }}{% endif %}",
        "{{ '<|begin|>assistant\n' }}",
    ],
)
def test_what_closes_the_conversation_belongs_to_no_response(ending: str, tmp_path: Path, make_tokenizer: Make) -> None:
    template = (
        "{% for m in messages %}<|begin|>{{ m['role'] }}\n{{ '<|say|>' if m['role'] == 'assistant' else '' }}"
        "{{ m['content'] }}<|done|>\n{% endfor %}" + ending
    )
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|say|>", "<|done|>", "<|eos|>"], template)
    prompt, tokenizer = rendered(folder, ASKED, ANSWERED, ASKED, ANSWERED)
    assert len(prompt.sequences) == 1
    assert prompt.notes == ()
    assert said(prompt, tokenizer) == ["<|say|>Here.<|done|>", "<|say|>Here.<|done|>"]
    assert list(chain.from_iterable(one.ids() for one in prompt.sequences)) == whole(folder, MESSAGES)


def test_an_end_that_is_written_differently_in_the_last_turn_is_the_models(
    tmp_path: Path, make_tokenizer: Make
) -> None:
    template = (
        "{% for m in messages %}<|begin|>{{ m['role'] }}\n{{ m['content'] }}"
        "{{ '<|return|>' if loop.last and m['role'] == 'assistant' else '<|done|>' }}{% endfor %}"
        "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
    )
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|done|>", "<|return|>"], template)
    prompt, tokenizer = rendered(folder, ASKED, ANSWERED, ASKED, ANSWERED)
    assert len(prompt.sequences) == len(prompt.responses)
    assert said(prompt, tokenizer) == ["Here.<|return|>", "Here.<|return|>"]
    assert "Here.<|done|>" in tokenizer.decode(prompt.context_ids(1))


def test_templates_of_models_with_pictures_get_blocks(tmp_path: Path, make_tokenizer: Make) -> None:
    template = (
        "{% for m in messages %}<|begin|>{{ m['role'] }}\n"
        "{% for b in m['content'] if b['type'] == 'text' %}{{ b['text'] }}{% endfor %}<|done|>{% endfor %}"
    )
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|done|>"], template)
    prompt, tokenizer = rendered(folder, ASKED, ANSWERED)
    assert said(prompt, tokenizer) == ["Here.<|done|>"]
    assert prompt.notes == ()


def test_a_system_message_that_only_asked_prompts_show_is_kept_there(tmp_path: Path, make_tokenizer: Make) -> None:
    template = (
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
        "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
        "{% for m in rest %}{% if m['role'] == 'user' %}[INST]{{ system if loop.last else '' }}{{ m['content'] }}"
        "[/INST]{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    folder = make_tokenizer(tmp_path, ["[INST]", "[/INST]", "</s>"], template)
    memory = Memory(section="identity", key="a", text="Be brief.")
    prompt, tokenizer = rendered(folder, memory, ASKED, ANSWERED, ASKED, ANSWERED)
    contexts = [tokenizer.decode(prompt.context_ids(index)) for index in (0, 1)]
    assert contexts == [
        "[INST]Be brief.\n\nWhere?[/INST]",
        "[INST]Where?[/INST]Here.</s>[INST]Be brief.\n\nWhere?[/INST]",
    ]
    assert len(prompt.notes) == 1
    assert prompt.memories[0].tokens > 0


STRICT = (
    "{% for m in messages %}{% if m.get('tool_calls') and m.get('reasoning_content') and m['content'] %}"
    "{{ raise_exception('Cannot pass both content and thinking') }}{% endif %}"
    "{% if m['role'] == 'tool' and m['tool_call_id'] | length != 9 %}{{ raise_exception('9 letters') }}{% endif %}"
    "<|begin|>{{ m['role'] }} {{ m['name'] }}\n{{ m.get('reasoning_content') or '' }}{{ m['content'] }}"
    "{% for c in m.get('tool_calls') or [] %}{{ c['function'] | tojson }}{% endfor %}<|done|>{% endfor %}"
)


def test_a_rejected_combination_falls_back_to_fewer_capabilities(tmp_path: Path, make_tokenizer: Make) -> None:
    call = ToolCall(name="sh", arguments={"a": "b"})
    both = Branch(role="assistant", children=(Thinking(text="hm"), Content(text="Wait."), call))
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|done|>"], STRICT)
    prompt, tokenizer = rendered(folder, ASKED, both, ToolResult(text="ok"), ANSWERED)
    assert said(prompt, tokenizer)[0].startswith("<think>\nhm\n</think>\nWait.")
    assert prompt.notes == ("the chat template does not support reasoning: it is written as <think> text",)


def test_tool_results_name_the_calls_that_they_answer(tmp_path: Path, make_tokenizer: Make) -> None:
    calls = (ToolCall(name="ls", arguments={}), ToolCall(name="cat", arguments={}))
    calling = Branch(role="assistant", children=calls)
    results = (ToolResult(text="a"), ToolResult(text="b"))
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|done|>"], STRICT)
    prompt, tokenizer = rendered(folder, ASKED, calling, *results, ANSWERED)
    assert "<|begin|>tool ls\na<|done|><|begin|>tool cat\nb<|done|>" in tokenizer.decode(prompt.context_ids(1))


def test_what_the_opened_turn_adds_is_cut_at_a_whole_token(tmp_path: Path, make_tokenizer: Make) -> None:
    template = (
        "{% for m in messages %}<|begin|>{{ m['role'] }}\n{{ '<|tool|>' if m['role'] == 'assistant' else '' }}"
        "{{ m['content'] }}<|done|>{% endfor %}{% if add_generation_prompt %}<|begin|>assistant\n<|think|>{% endif %}"
    )
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|tool|>", "<|think|>", "<|done|>"], template)
    prompt, tokenizer = rendered(folder, ASKED, ANSWERED)
    assert said(prompt, tokenizer) == ["<|tool|>Here.<|done|>"]


def test_a_blank_message_may_be_dropped(tmp_path: Path, make_tokenizer: Make) -> None:
    template = (
        "{% for m in messages if m['content'] | trim %}<|begin|>{{ m['role'] }}\n{{ m['content'] }}<|done|>{% endfor %}"
        "{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
    )
    folder = make_tokenizer(tmp_path, ["<|begin|>", "<|done|>"], template)
    prompt, tokenizer = rendered(folder, Memory(section="identity", key="a", text=" "), ASKED, ANSWERED)
    assert said(prompt, tokenizer) == ["Here.<|done|>"]
    assert prompt.memories[0].tokens == 0


def test_a_conversation_that_the_assistant_begins_has_a_header_that_is_not_scored(
    templates: Callable[[str], Tokenizer],
) -> None:
    prompt = render(Session(header=Header(id="s"), nodes=(ANSWERED, ASKED)), templates("blocks"))
    assert said(prompt, templates("blocks")) == ["Here.<|end|>"]
    assert templates("blocks").decode(prompt.context_ids(0)) == "<|block|>assistant\n"


def test_an_answers_first_token_always_has_something_before_it(tmp_path: Path, make_tokenizer: Make) -> None:
    template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}[INST]{{ m['content'] }}[/INST]"
        "{% elif m['role'] == 'assistant' %}{{ m['content'] }}</s>{% endif %}{% endfor %}"
    )
    folder = make_tokenizer(tmp_path, ["[INST]", "[/INST]", "</s>"], template)
    prompt, tokenizer = rendered(folder, Memory(key="a", text="A fact."), ANSWERED)
    (variant,) = prompt.variants({"a"})
    assert tokenizer.decode(variant.ids) == "[INST][/INST]Here.</s>"
    assert said(rendered(folder, ANSWERED)[0], tokenizer) == ["Here.</s>"]


def test_a_template_that_refuses_a_question_and_an_answer_is_refused(tmp_path: Path, make_tokenizer: Make) -> None:
    folder = make_tokenizer(tmp_path, ["<a>", "<b>"], "{{ raise_exception('Only for pictures') }}")
    with pytest.raises(PromptError, match="Only for pictures"):
        rendered(folder, ASKED, ANSWERED)


def test_capabilities_are_those_of_the_template(templates: Callable[[str], Tokenizer]) -> None:
    everything, strict = (TemplateCapabilities.of(ChatTemplate(templates(shape))) for shape in ("blocks", "turns"))
    assert set(everything.__slots__) == {name for name in everything.__slots__ if getattr(everything, name)}
    assert not any(getattr(strict, name) for name in strict.__slots__)
    assert list(strict.reductions()) == [strict]
