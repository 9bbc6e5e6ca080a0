"""Load tokenizers with the `transformers` library without importing torch.

`transformers` imports torch if it is installed. Nothing here needs it, and the screen must not import it, so torch is
hidden while `transformers` is imported.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memscope.errors import PromptError

__all__ = ["fetch_folder", "load_pretrained"]

_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "additional_chat_templates/*",
    "vocab*",
    "merges.txt",
    "*.model",
    "config.json",
)
_IMPORTING = threading.Lock()


def fetch_folder(name: str) -> Path:
    """Return the local folder with a hub model's tokenizer files, downloading them if needed.

    Args:
        name: A hub name such as "org/model".

    Raises:
        PromptError: They are not on this machine and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    patterns = list(_FILES)
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except (OSError, ValueError):
        pass  # not downloaded yet, or not a hub name: the attempt below tells which
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise PromptError(
            f"the tokenizer of {name!r} is not on this machine and cannot be downloaded ({_first_line(error)}): "
            "pass a folder with its tokenizer.json as --tokenizer DIR"
        ) from error


def load_pretrained(folder: Path) -> Any:
    """Load the `PreTrainedTokenizerBase` in a folder.

    Raises:
        PromptError: The folder has no tokenizer that `transformers` can load.
    """
    try:
        # Without the last argument it would ask on the terminal whether to run code from the folder.
        return _auto_tokenizer().from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise PromptError(f"{folder}: no tokenizer can be loaded from this folder ({_first_line(error)})") from error


@functools.cache
def _auto_tokenizer() -> Any:
    with _IMPORTING, _hidden_torch():
        from transformers import AutoTokenizer
        from transformers.utils.logging import set_verbosity

        set_verbosity(logging.ERROR)  # its warnings would garble the screen
        return AutoTokenizer


@contextmanager
def _hidden_torch() -> Iterator[None]:
    """Hide torch from `transformers`, unless torch is already imported in this process."""
    if "torch" in sys.modules:
        yield
        return
    find_spec = importlib.util.find_spec
    quiet = os.environ.get("TRANSFORMERS_NO_ADVISORY_WARNINGS")

    def without_torch(name: str, package: str | None = None) -> Any:
        return None if name.partition(".")[0] == "torch" else find_spec(name, package)

    importlib.util.find_spec = without_torch
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # suppress the notice that PyTorch was not found
    try:
        yield
    finally:
        importlib.util.find_spec = find_spec
        if quiet is None:
            del os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"]
        else:
            os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = quiet


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".: ") if lines else type(error).__name__
