"""Trained weights are written whole, and never over what memscope did not write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memscope.errors import UsageError
from memscope.server.compute.loading import LoadedModel, load
from memscope.server.compute.tokenizer_view import TokenizerView
from memscope.server.options import ServeOptions
from memscope.server.training.saving import NOTE, check_target, save


def test_what_was_saved_loads_as_the_same_weights(loaded_models: Callable[[str], LoadedModel], tmp_path: Path) -> None:
    loaded = loaded_models("bundled")
    for note in ({"jobs": ["a"]}, {"jobs": ["a", "b"]}):
        check_target(tmp_path / "new" / "model")
        save(loaded, tmp_path / "new" / "model", note)
    again = load(tmp_path / "new" / "model", ServeOptions(model="saved"))
    assert again.weights == loaded.weights
    assert again.tokenizer.files() == loaded.tokenizer.files()
    assert json.loads((tmp_path / "new" / "model" / NOTE).read_text()) == {"jobs": ["a", "b"]}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]
    assert (tmp_path / "new" / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_save_that_fails_leaves_what_stood_there(
    loaded_models: Callable[[str], LoadedModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, target = loaded_models("bundled"), tmp_path / "model"
    save(loaded, target, {"jobs": ["a"]})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TokenizerView, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save(loaded, target, {"jobs": ["b"]})
    assert json.loads((target / NOTE).read_text()) == {"jobs": ["a"]}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="has files that memscope did not write"):
        check_target(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        check_target(tmp_path / "precious.txt")


def test_a_place_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        check_target(Path("/proc/nowhere/model"))
