"""The files in a tokenizer's folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from memscope.errors import PromptError
from memscope.prompt.pretrained import fetch_folder

__all__ = ["configured_tokens", "resolve_folder", "template_source"]

_PATH_LIKE = re.compile(r"^[./~]|[/\\].*[/\\]|[/\\]$")


def resolve_folder(name: str | Path) -> Path:
    """Return the folder of a tokenizer, downloading it if it is a hub name that is not on this machine.

    Raises:
        PromptError: It does not exist or cannot be downloaded.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if isinstance(name, Path) or path.exists() or _PATH_LIKE.search(name):
        raise PromptError(f"{name}: not a folder; use a folder with a tokenizer.json, or a hub name")
    return fetch_folder(name)


def _json_object(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PromptError(f"{file}: not valid JSON ({error})") from error
    return value if isinstance(value, dict) else {}


def configured_tokens(folder: Path) -> dict[str, int]:
    """Return the tokens added by a folder's configuration; old folders have some that tokenizer.json lacks."""
    decoder = _json_object(folder / "tokenizer_config.json").get("added_tokens_decoder")
    tokens = _json_object(folder / "added_tokens.json")
    for number, token in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(token, dict) and number.isdigit():
            tokens[str(token.get("content"))] = int(number)
    return tokens


def template_source(folder: Path) -> str:
    """Return the source of the chat template, or ""."""
    if (file := folder / "chat_template.jinja").is_file():
        return file.read_text(encoding="utf-8")
    return json.dumps(_json_object(folder / "tokenizer_config.json").get("chat_template"), sort_keys=True)
