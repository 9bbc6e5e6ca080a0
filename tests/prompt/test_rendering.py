"""Which rendering a session gets, and that chat messages are what the model saw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memscope.errors import PromptError
from memscope.prompt.pretrained import load_pretrained
from memscope.prompt.prompt import Prompt
from memscope.prompt.rendering import render
from memscope.prompt.tokenizer import Tokenizer
from memscope.session.detectors import Detector
from memscope.session.formats.chat import read_chat
from memscope.session.nodes import Branch, Content, Header, Log, Memory, Node, Session
from tests.prompt.conftest import BUNDLED, SHAPES

TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are a default.<|im_end|>\n{% endif %}"
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Has ChatML's turn markers, a default system prompt, and a place for tools."""

TOOLS = [{"type": "function", "function": {"name": "sh", "description": "Runs.", "parameters": {}}}]
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": '<memory key="port">The port is 7432.</memory> Which port?'},
    {"role": "assistant", "content": "7432."},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "You're welcome."},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("templated")
    shutil.copy(BUNDLED / "tokenizer.json", made)
    config = json.loads((BUNDLED / "tokenizer_config.json").read_text()) | {"chat_template": TEMPLATE}
    (made / "tokenizer_config.json").write_text(json.dumps(config))
    return made


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.load(folder)


@pytest.fixture
def chat() -> Session:
    return read_chat({"messages": MESSAGES, "tools": TOOLS}, "chat.json", Detector())


def ids(prompt: Prompt) -> list[int]:
    (sequence,) = prompt.sequences
    return list(sequence.ids())


def test_chat_messages_are_rendered_with_the_models_own_template(
    chat: Session, tokenizer: Tokenizer, folder: Path
) -> None:
    prompt = render(chat, tokenizer)
    text = load_pretrained(folder).apply_chat_template(MESSAGES, tools=TOOLS, tokenize=False)
    assert prompt.template == "own"
    assert tokenizer.decode(ids(prompt)) == text
    assert "You are a default." in text
    assert "Runs." in text
    assert tokenizer.decode(prompt.context_ids(0, {"port"})).endswith(
        "user\n Which port?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_native_session_is_rendered_as_chatml_where_the_tokenizer_knows_it(
    small_session: Session, tokenizer: Tokenizer
) -> None:
    prompt = render(small_session, tokenizer)
    assert prompt.template == "chatml"
    assert prompt.notes == ()
    assert ids(prompt) == ids(render(small_session, tokenizer, "chatml"))


def test_a_native_session_is_rendered_with_the_models_own_template_elsewhere(
    small_session: Session, templates: Callable[[str], Tokenizer]
) -> None:
    assert render(small_session, templates("blocks")).template == "own"


def test_chat_messages_become_chatml_where_there_is_no_template_and_that_is_said(chat: Session, tmp_path: Path) -> None:
    shutil.copy(BUNDLED / "tokenizer.json", tmp_path)
    prompt = render(chat, Tokenizer.load(tmp_path))
    assert prompt.template == "chatml"
    assert prompt.notes == ("the tokenizer has no chat template: the messages are rendered as ChatML",)


def test_the_choice_of_the_user_counts(chat: Session, small_session: Session, tokenizer: Tokenizer) -> None:
    assert render(chat, tokenizer, "chatml").template == "chatml"
    assert render(chat, tokenizer, "chatml").notes == ()
    own = render(small_session, tokenizer, "own")
    assert own.template == "own"
    assert ids(own) != ids(render(small_session, tokenizer))


def test_a_tokenizer_without_both_is_one_clear_line(
    chat: Session, small_session: Session, tmp_path: Path, make_tokenizer: Callable[..., Path]
) -> None:
    tokenizer = Tokenizer.load(make_tokenizer(tmp_path, ["<a>", "<b>"], None))
    for session in (chat, small_session):
        with pytest.raises(PromptError, match=r"neither <\|im_start\|>/<\|im_end\|> nor a chat template"):
            render(session, tokenizer)
    with pytest.raises(PromptError, match="which ChatML requires"):
        render(small_session, tokenizer, "chatml")
    with pytest.raises(PromptError, match="this tokenizer has no chat template"):
        render(small_session, tokenizer, "own")


def turn(role: str, *texts: str) -> Branch:
    return Branch(role=role, children=tuple(Content(text=text) for text in texts))


MEMORY = Memory(key="port", text="The port is 7432.")
UNUSUAL: dict[str, tuple[Node, ...]] = {
    "nothing": (),
    "only a memory": (MEMORY,),
    "only a log": (Log(text="started"),),
    "no response": (MEMORY, turn("user", "Hi")),
    "no memory": (turn("user", "Hi"), turn("assistant", "Hello")),
    "a response that says nothing": (turn("user", "Hi"), turn("assistant")),
    "a question that says nothing": (turn("user"), turn("assistant", "Hello")),
    "a response first": (turn("assistant", "Hello"), MEMORY, turn("user", "Hi"), turn("assistant", "Yes?")),
    "two responses in a row": (turn("user", "Hi"), turn("assistant", "Hello"), turn("assistant", "Yes?")),
}


@pytest.mark.parametrize("shape", ["chatml", *SHAPES])
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_sessions_are_rendered_too(
    name: str, shape: str, tokenizer: Tokenizer, templates: Callable[[str], Tokenizer]
) -> None:
    session = Session(header=Header(id="s"), nodes=UNUSUAL[name])
    prompt = render(session, tokenizer if shape == "chatml" else templates(shape))
    assert [memory.key for memory in prompt.memories] == list(session.memory_keys())
    assert all(prompt.continuation_ids(one.index) and prompt.context_ids(one.index) for one in prompt.responses)
    assert bool(prompt.variants()) == bool(prompt.responses)
