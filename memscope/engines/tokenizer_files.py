"""The tokenizer of the served model, where the server hands it out or says where it is."""

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
    """Fetch the served tokenizer's files into a folder under `cache`, named by their content.

    Returns:
        The folder, or None when the server has no `/v1/tokenizer`. Where `cache` cannot be written it is another one,
        which is removed when memscope ends.

    Raises:
        ScorerError: The server's answer is not a set of files.
    """
    try:
        answer: _Files = await transport.get("/v1/tokenizer", seconds=60.0, kind=_Files, expected="a tokenizer's files")
    except RefusedError:
        return None
    files = answer.files
    if strange := [name for name in files if Path(name).name != name or name.startswith(".") or "\0" in name]:
        raise ScorerError(f"{transport.root}/v1/tokenizer: refused the file name {strange[0]!r}")
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
            "make room, or name it with --tokenizer"
        ) from error


def _write_folder_atomically(files: dict[str, str], target: Path) -> Path:
    """Write a folder whole or not at all."""
    make_private_folder(target.parent)
    fresh = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=target.parent))
    try:
        for name, text in files.items():
            with open(fresh / name, "w", encoding="utf-8", opener=open_private) as file:
                file.write(text)
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not target.is_dir():  # another memscope may have been quicker
            raise
    return target
