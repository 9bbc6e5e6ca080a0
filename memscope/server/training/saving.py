"""Save trained weights as a model folder, atomically and without overwriting other files.

A folder written by this module contains a marker file; only such a folder is ever replaced.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memscope.errors import UsageError

if TYPE_CHECKING:
    from memscope.server.compute.loading import LoadedModel

__all__ = ["NOTE", "check_target", "save"]

NOTE = "memscope-training.json"
"""The file in a saved folder that says where its weights come from."""


def check_target(target: Path) -> None:
    """Reject a folder that contains anything but weights saved by memscope.

    Raises:
        UsageError: It has other content, or cannot be written.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"--save-to {target}: not a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / NOTE).is_file():
        raise UsageError(f"--save-to {target}: has files that memscope did not write; choose a new or empty folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-"):
            pass
    except OSError as error:
        raise UsageError(f"--save-to {target}: cannot be written ({error.strerror})") from None


def save(loaded: LoadedModel, target: Path, note: dict[str, Any]) -> None:
    """Write a model folder for `AutoModelForCausalLM` and `AutoTokenizer`, in the dtype of the computation.

    Raises:
        OSError: Writing failed; `target` is unchanged.
    """
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        loaded.model.save_pretrained(fresh)
        loaded.tokenizer.save(fresh)
        (fresh / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
        fresh.chmod(0o755)
        for file in fresh.iterdir():
            file.chmod(0o644)  # the libraries make the weights readable only by their owner
        _replace(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _replace(fresh: Path, target: Path) -> None:
    if not target.exists():
        fresh.rename(target)
        return
    old = fresh.with_name(f"{fresh.name}.old")
    target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
