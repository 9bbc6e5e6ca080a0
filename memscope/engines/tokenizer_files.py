"""Download the tokenizer of the served model from the server."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import shutil
import tempfile
from pathlib import Path

import msgspec

from memscope.engines.transport import RefusedError, Transport
from memscope.errors import ScorerError
from memscope.store.private import make_private_folder, open_private

__all__ = ["fetch_tokenizer"]


class _Files(msgspec.Struct):
    files: dict[str, str]


async def fetch_tokenizer(transport: Transport, cache: Path) -> Path | None:
    """Download the tokenizer's files into a folder in `cache` that is named by their content.

    Returns:
        The folder, or None if the server has no `/v1/tokenizer`. If `cache` is not writable, it is a temporary folder,
        which is removed when memscope exits.

    Raises:
        ScorerError: The response is not a valid set of files.
    """
    try:
        answer: _Files = await transport.get("/v1/tokenizer", seconds=60.0, kind=_Files, expected="a tokenizer's files")
    except RefusedError:
        return None
    files = answer.files
    if strange := [name for name in files if Path(name).name != name or name.startswith(".") or "\0" in name]:
        raise ScorerError(f"{transport.root}/v1/tokenizer: rejected the file name {strange[0]!r}")
    return await asyncio.to_thread(_written, files, cache)


def _written(files: dict[str, str], cache: Path) -> Path:
    digest = hashlib.blake2b(msgspec.json.encode(files, order="sorted"), digest_size=12).hexdigest()
    target = cache / digest
    if target.is_dir():
        return target
    try:
        return _write_folder_atomically(files, target)
    except OSError:
        pass  # for this once, somewhere else
    try:
        elsewhere = tempfile.mkdtemp(prefix="memscope-tokenizer-")
        atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
        return _write_folder_atomically(files, Path(elsewhere) / digest)
    except OSError as error:
        raise ScorerError(
            f"the served tokenizer cannot be written to {tempfile.gettempdir()} ({error.strerror or error}): "
            "free some space, or set it with --tokenizer"
        ) from error


def _write_folder_atomically(files: dict[str, str], target: Path) -> Path:
    """Write the files into a folder atomically."""
    make_private_folder(target.parent)
    fresh = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=target.parent))
    try:
        for name, text in files.items():
            with open(fresh / name, "w", encoding="utf-8", opener=open_private) as file:
                file.write(text)
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not target.is_dir():  # another process may have written it meanwhile
            raise
    return target
