"""No sequence of keys ends the screen; `python tests/ui/random_keys.py` tries for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from .random_keys import play

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_keys_do_not_crash_the_screen(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # `e` writes where it is started
    assert await play(seed, 40, tmp_path / "state") > 40
