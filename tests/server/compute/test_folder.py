"""A folder that cannot be served is refused in one line that says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib import util
from pathlib import Path

import msgspec
import pytest

from memscope.errors import ScorerError
from memscope.server.compute.fingerprint import fingerprint
from memscope.server.compute.folder import check_installed, model_folder
from memscope.server.compute.loading import load
from memscope.server.options import ServeOptions


@pytest.fixture
def copied(model_folders: Callable[[str], Path], tmp_path: Path) -> Path:
    """Return a copy of the bundled model that a test may break."""
    return Path(shutil.copytree(model_folders("bundled"), tmp_path / "copy"))


def _refusal(model: str) -> str:
    with pytest.raises(ScorerError) as caught:
        model_folder(model)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_folder_is_taken(copied: Path) -> None:
    assert model_folder(str(copied)) == copied


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_what_is_missing_is_named(copied: Path, missing: str, said: str) -> None:
    (copied / missing).unlink()
    assert said in _refusal(str(copied))


def test_a_file_a_missing_folder_and_a_broken_configuration_are_refused(copied: Path) -> None:
    assert "not a folder" in _refusal(str(copied / "config.json"))
    assert "no such folder" in _refusal(str(copied / "elsewhere"))
    (copied / "config.json").write_text("[")
    assert "config.json is not a JSON object" in _refusal(str(copied))


def test_a_hub_name_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refusal = _refusal("nobody/nothing-of-this-name")
    assert "cannot be fetched from the Hugging Face hub" in refusal
    assert "give a folder" in refusal


def test_a_name_that_is_neither_folder_nor_hub_name_is_refused() -> None:
    assert "neither a folder nor a name" in _refusal("what is this?")


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(ScorerError, match=r"needs torch, .*pip install 'memscope\[local\]'"):
        check_installed()


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_files_that_are_damaged_are_one_line(copied: Path, file: str) -> None:
    (copied / file).write_bytes(b"\x00damaged")
    with pytest.raises(ScorerError, match="cannot be loaded") as caught:
        load(copied, ServeOptions(model="copy"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("field", "value"), [("dtype", "float3"), ("dtype", "int8"), ("device", "abacus")])
def test_an_unknown_dtype_or_device_is_refused(copied: Path, field: str, value: str) -> None:
    with pytest.raises(ScorerError, match=f"{field} {value}"):
        load(copied, msgspec.structs.replace(ServeOptions(model="copy"), **{field: value}))


def test_the_fingerprint_is_that_of_the_content(copied: Path, model_folders: Callable[[str], Path]) -> None:
    same = load(copied, ServeOptions(model="copy"))
    assert same.weights == load(model_folders("bundled"), ServeOptions(model="bundled")).weights
    same.model.get_input_embeddings().weight[7, 7] += 1e-3  # type: ignore[index,operator]
    assert fingerprint(same.model) != same.weights
