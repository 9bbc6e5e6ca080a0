"""The served tokenizer's files, on the disk or, where it is full, somewhere else."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from memscope.engines import tokenizer_files
from memscope.engines.tokenizer_files import fetch_tokenizer
from memscope.engines.transport import Transport
from memscope.errors import ScorerError
from memscope.store.private import open_private

pytestmark = pytest.mark.anyio


def transport(files: dict[str, str]) -> Transport:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, json={"files": files}))
    return Transport("http://h:1", http=answer)


async def test_the_same_files_are_one_folder(tmp_path: Path) -> None:
    first = await fetch_tokenizer(transport({"a.json": "{}"}), tmp_path)
    assert first is not None
    assert (first / "a.json").read_text() == "{}"
    assert await fetch_tokenizer(transport({"a.json": "{}"}), tmp_path) == first
    assert [p.name for p in tmp_path.iterdir()] == [first.name], "nothing half written is left"


async def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    folder = await fetch_tokenizer(transport({"a.json": "{}"}), tmp_path / "state" / "tokenizers")
    assert folder is not None
    kept = [tmp_path / "state", tmp_path / "state" / "tokenizers", folder, folder / "a.json"]
    assert [oct(path.stat().st_mode & 0o777) for path in kept] == ["0o700", "0o700", "0o700", "0o600"]


async def test_a_full_disk_moves_the_tokenizer_to_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, flags: int) -> int:
        if tmp_path in Path(path).parents:
            raise OSError(28, "No space left on device")
        return open_private(path, flags)

    monkeypatch.setattr(tokenizer_files, "open_private", full)
    at_the_end: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", lambda do, *a, **k: at_the_end.append(partial(do, *a, **k)))
    folder = await fetch_tokenizer(transport({"a.json": "{}"}), tmp_path / "cache")
    assert folder is not None
    assert (folder / "a.json").read_text() == "{}"
    assert not list((tmp_path / "cache").iterdir())
    (clean,) = at_the_end
    clean()
    assert not folder.parent.exists(), "the other place does not fill up with every run"


@pytest.mark.parametrize("name", ["../a", ".hidden", "a/b", "a\0b"])
async def test_strange_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScorerError, match="rejected the file name"):
        await fetch_tokenizer(transport({name: ""}), tmp_path)
