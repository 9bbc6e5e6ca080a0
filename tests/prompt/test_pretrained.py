"""Where tokenizers come from, and what is never imported for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import memscope.demo
from memscope.errors import PromptError
from memscope.prompt.tokenizer import Tokenizer

BUNDLED = Path(memscope.demo.__file__).parent / "model"
MESSAGES = [{"role": "user", "content": "Hi"}]


def modules_after(program: str) -> tuple[set[str], str]:
    """TextSpan a program and return the modules it has imported, and what it wrote on stderr."""
    code = f"{program}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()), done.stderr


def test_a_chatml_tokenizer_needs_neither_torch_nor_transformers() -> None:
    program = f"from memscope.prompt.tokenizer import Tokenizer\nTokenizer.load({str(BUNDLED)!r}).encode('Hi')"
    modules, _ = modules_after(program)
    assert not {"torch", "transformers"} & modules


def test_a_chat_template_needs_transformers_without_torch_and_without_its_notices() -> None:
    program = (
        "from memscope.prompt.tokenizer import Tokenizer\n"
        f"Tokenizer.load({str(BUNDLED)!r}).apply_template([{{'role': 'user', 'content': 'Hi'}}])\n"
        "import importlib.util; print(importlib.util.find_spec('torch') is not None)"
    )
    modules, said = modules_after(program)
    assert "transformers" in modules
    assert "torch" not in modules
    assert said == ""


def test_torch_is_hidden_only_during_the_import() -> None:
    program = (
        "import importlib.util; before = importlib.util.find_spec\n"
        "import torch; from memscope.prompt.tokenizer import Tokenizer\n"
        f"Tokenizer.load({str(BUNDLED)!r}).apply_template([{{'role': 'user', 'content': 'Hi'}}])\n"
        "assert importlib.util.find_spec is before; from transformers.utils import is_torch_available\n"
        "assert is_torch_available()"
    )
    modules_after(program)


def test_the_template_may_stand_in_a_file_of_its_own(tmp_path: Path, make_tokenizer: Callable[..., Path]) -> None:
    folder = make_tokenizer(tmp_path, ["<a>", "<b>"], None)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}!", encoding="utf-8")
    assert Tokenizer.load(folder).apply_template(MESSAGES) == "Hi!"


def test_of_several_templates_the_default_is_taken(tmp_path: Path, make_tokenizer: Callable[..., Path]) -> None:
    named = [
        {"name": "other", "template": "other"},
        {"name": "default", "template": "{{ messages[0]['content'] }}?"},
    ]
    tokenizer = Tokenizer.load(make_tokenizer(tmp_path, ["<a>", "<b>"], named))
    assert tokenizer.chat_template == "{{ messages[0]['content'] }}?"
    assert tokenizer.apply_template(MESSAGES) == "Hi?"


def test_tokens_that_only_the_configuration_adds_are_known(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((BUNDLED / "tokenizer.json").read_bytes())
    config = json.loads((BUNDLED / "tokenizer_config.json").read_text(encoding="utf-8"))
    token = {"content": "<late>", "special": True, "normalized": False, "lstrip": False, "rstrip": False}
    config["added_tokens_decoder"] = {"1536": token | {"single_word": False}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.token_id("<late>") == 1536
    assert tokenizer.control.isdisjoint(tokenizer.encode("a <late> token"))


def test_a_template_that_refuses_says_so_in_one_line(templates: Callable[[str], Tokenizer]) -> None:
    with pytest.raises(PromptError, match=r"rejects this conversation: Conversation roles must alternate") as caught:
        templates("turns").apply_template([*MESSAGES, *MESSAGES])
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_a_template_says_so(tmp_path: Path, make_tokenizer: Callable[..., Path]) -> None:
    with pytest.raises(PromptError, match="this tokenizer has no chat template"):
        Tokenizer.load(make_tokenizer(tmp_path, ["<a>", "<b>"], None)).apply_template(MESSAGES)


@pytest.mark.parametrize("name", ["/no/such/folder", "./models/mine", "~/nowhere/at-all", "a/b/c"])
def test_a_missing_folder_is_not_taken_for_a_hub_name(name: str) -> None:
    with pytest.raises(PromptError, match="not a folder") as caught:
        Tokenizer.load(name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_tokenizer_says_so_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match=rf"{tmp_path}: no tokenizer") as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00\xff", '{"version":"1.0"}'])
def test_a_broken_tokenizer_file_says_so_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(PromptError, match=r"tokenizer\.json: not a tokenizer") as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_hub_name_without_network_says_what_to_give_instead() -> None:
    program = (
        "from memscope.errors import PromptError; from memscope.prompt.tokenizer import Tokenizer\n"
        "try: Tokenizer.load('some-org/some-model')\n"
        "except PromptError as error: print(error)"
    )
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("the tokenizer of 'some-org/some-model' is not on this machine")
    assert done.stdout.endswith("--tokenizer DIR\n")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
