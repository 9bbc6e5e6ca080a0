"""Tokenizers with chat templates of the shapes in use, built on the bundled vocabulary."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers

import memscope.demo
from memscope.prompt.pretrained import load_pretrained
from memscope.prompt.tokenizer import Tokenizer

BUNDLED = Path(memscope.demo.__file__).parent / "model"

_ALTERNATE = (
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
_TOOL_CALLS = (
    "{% for call in m.get('tool_calls') or [] %}<tool_call>\n"
    "{\"name\": \"{{ call['function']['name'] }}\", \"arguments\": {{ call['function']['arguments'] | tojson }}}\n"
    "</tool_call>{% endfor %}"
)
_OPENED = "{% if add_generation_prompt %}<|block|>assistant\n{% endif %}"

SHAPES: dict[str, tuple[list[str], str]] = {
    # Like ChatML, with other tokens; knows reasoning, tools and tool calls.
    "blocks": (
        ["<|block|>", "<|end|>"],
        "{% if tools %}<|block|>tools\n{{ tools | tojson }}<|end|>\n{% endif %}"
        "{% for m in messages %}<|block|>{{ m['role'] }}\n"
        "{% if m.get('reasoning_content') %}<think>\n{{ m['reasoning_content'] }}\n</think>\n{% endif %}"
        "{{ m['content'] }}" + _TOOL_CALLS + "<|end|>\n{% endfor %}" + _OPENED,
    ),
    # Header ids, texts trimmed, a token that begins the text.
    "headers": (
        ["<|begin|>", "<|header|>", "<|/header|>", "<|eot|>"],
        (
            "{{ bos_token }}{% for m in messages %}<|header|>{{ m['role'] }}<|/header|>\n\n"
            "{{ m['content'] | trim }}<|eot|>{% endfor %}"
            "{% if add_generation_prompt %}<|header|>assistant<|/header|>\n\n{% endif %}"
        ),
    ),
    # [INST], the system message inside the first user turn, strict turns, no opened turn.
    "inst": (
        ["<s>", "</s>"],
        "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}"
        "{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}" + _ALTERNATE + ""
        "{% if m['role'] == 'user' %}{{ bos_token }}[INST] "
        "{% if loop.first and system %}<<SYS>>\n{{ system }}\n<</SYS>>\n\n{% endif %}{{ m['content'] | trim }} [/INST]"
        "{% else %} {{ m['content'] | trim }} {{ eos_token }}{% endif %}{% endfor %}",
    ),
    # Turn markers, no system role, strict turns, the assistant has another name.
    "turns": (
        ["<bos>", "<start_of_turn>", "<end_of_turn>"],
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}{% for m in messages %}" + _ALTERNATE + "<start_of_turn>"
        "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
    # Drops the reasoning before the last question, and finds it in the text too.
    "forgets": (
        ["<|block|>", "<|end|>"],
        "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}"
        "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
        "{% for m in messages %}<|block|>{{ m['role'] }}\n{% set text = m['content'] %}"
        "{% set thought = m.get('reasoning_content') or '' %}"
        "{% if m['role'] == 'assistant' and '</think>' in text %}"
        "{% set thought = text.split('</think>')[0].split('<think>')[-1].strip() %}"
        "{% set text = text.split('</think>')[-1].lstrip() %}{% endif %}"
        "{% if m['role'] == 'assistant' and loop.index0 > ns.last and (thought or loop.last) %}"
        "<think>\n{{ thought }}\n</think>\n\n{% endif %}{{ text }}<|end|>\n{% endfor %}" + _OPENED,
    ),
    # Drops all reasoning always, and makes the model think by opening it in the opened turn.
    "thinks": (
        ["<|begin|>", "<|user|>", "<|assistant|>", "<|end|>"],
        (
            "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>"
            "{{ m['content'].split('</think>')[-1] }}<|end|>{% elif m['role'] == 'user' %}<|user|>{{ m['content'] }}"
            "{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
        ),
    ),
    # Opens a thought in the opened turn, and writes an empty one in front of answers without reasoning.
    "empty thoughts": (
        ["<|block|>", "<|end|>"],
        (
            "{% for m in messages %}<|block|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
            "<think>\n{{ m.get('reasoning_content') or '' }}\n</think>\n\n{% endif %}{{ m['content'] }}<|end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|block|>assistant\n<think>\n{% endif %}"
        ),
    ),
}
"""Special tokens and template by shape."""


def write_tokenizer(folder: Path, special: list[str], template: Any, *, spans: bool = False) -> Path:
    """Write a tokenizer with other special tokens than the bundled one into a folder.

    Args:
        folder: Where to.
        special: Its special tokens; the last one ends a turn; the first one begins the text, if the template says so.
        template: The chat template.
        spans: Put a space in front of every text, as SentencePiece models do.
    """
    described = json.loads((BUNDLED / "tokenizer.json").read_text(encoding="utf-8"))
    renamed = {"<|im_start|>": "<|unused_1|>", "<|im_end|>": "<|unused_2|>"}
    vocabulary = described["model"]["vocab"]
    described["model"]["vocab"] = {renamed.get(token, token): number for token, number in vocabulary.items()}
    described["added_tokens"] = [token for token in described["added_tokens"] if token["content"] not in renamed]
    raw = tokenizers.Tokenizer.from_str(json.dumps(described))
    if spans:
        raw.normalizer = tokenizers.normalizers.Prepend(" ")
    raw.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in special])
    folder.mkdir(parents=True, exist_ok=True)
    raw.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": special[0] if "bos_token" in str(template) else None,
        "eos_token": special[-1],
        "chat_template": template,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable[..., Path]:
    """Return the way to write a tokenizer into a folder: `(folder, special, template, spans=False)`."""
    return write_tokenizer


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the way to the folder of a tokenizer with a template of some shape."""

    @functools.cache
    def of_shape(shape: str) -> Path:
        special, template = SHAPES[shape]
        return write_tokenizer(tmp_path_factory.mktemp(shape), special, template, spans=shape == "inst")

    return of_shape


@pytest.fixture(scope="session")
def templates(folders: Callable[[str], Path]) -> Callable[[str], Tokenizer]:
    """Return the way to the tokenizer with a template of some shape."""
    return functools.cache(lambda shape: Tokenizer.load(folders(shape)))


@pytest.fixture(scope="session")
def reference(folders: Callable[[str], Path]) -> Callable[..., list[int]]:
    """Return how `transformers` itself encodes a whole conversation: `(shape, messages, **options)`."""
    loaded = functools.cache(lambda shape: load_pretrained(folders(shape)))

    def encoded(shape: str, messages: list[dict[str, Any]], **options: Any) -> list[int]:
        return list(loaded(shape).apply_chat_template(messages, return_dict=False, **options))

    return encoded
