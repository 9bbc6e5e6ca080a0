"""Caches that cannot be cut anywhere are detected and said."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertLMHeadModel,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from memscope.errors import ScorerError
from memscope.server.compute.loading import PATH_VARIABLE, LoadedModel, load, training_copy
from memscope.server.compute.paths import PATHS, obstacle
from memscope.server.compute.scoring_steps import score_ranges
from memscope.server.options import ServeOptions

_SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize("architecture", ["bundled", "qwen3", "llama"])
def test_full_attention_shares_prefixes(architecture: str, sharing_models: Callable[[str], LoadedModel]) -> None:
    path = sharing_models(architecture).path
    assert path.prefix_cache
    assert path.note == ""


def test_a_sliding_window_is_computed_plainly_and_said(loaded_models: Callable[[str], LoadedModel]) -> None:
    path = loaded_models("gemma").path
    assert not path.prefix_cache
    assert path.note == ("computed without prefix reuse: the sliding window of 16 tokens is shorter than the context")


@pytest.mark.parametrize(("window", "hindered"), [(64, True), (256, False), (None, False)])
def test_a_sliding_window_matters_only_if_shorter_than_the_context(window: int | None, hindered: bool) -> None:
    model = MistralForCausalLM(MistralConfig(sliding_window=window, **_SIZES))
    assert bool(obstacle(model, 256)) == hindered


def test_layers_that_keep_a_state_are_named() -> None:
    model = Qwen3ForCausalLM(Qwen3Config(**_SIZES))
    model.config.layer_types = ["linear_attention", "full_attention"]
    assert obstacle(model, 256) == "layers of kind linear_attention keep a state that cannot be cut"


def test_a_model_that_looks_ahead_is_refused_in_one_line(
    saved_model: Callable[[str, Callable[[], PreTrainedModel]], Path],
) -> None:
    sizes = {name: size for name, size in _SIZES.items() if name not in ("num_key_value_heads", "head_dim")}
    bert = saved_model("bert", lambda: BertLMHeadModel(BertConfig(is_decoder=False, initializer_range=0.3, **sizes)))
    with pytest.raises(ScorerError, match="model bert: not a causal language model") as caught:
        load(bert, ServeOptions(model="bert"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_soft_cap_is_never_dropped(
    dtype: str,
    saved_model: Callable[[str, Callable[[], PreTrainedModel]], Path],
    drain: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PATH_VARIABLE, "flash")
    config = Gemma2Config(
        attn_logit_softcapping=2.0, sliding_window=512, query_pre_attn_scalar=8, initializer_range=0.5, **_SIZES
    )
    loaded = load(saved_model("gemma2", lambda: Gemma2ForCausalLM(config)), ServeOptions(model="gemma2", dtype=dtype))
    assert loaded.path.name == "stock"
    ids = random.Random(2).choices(range(64), k=200)
    (found,) = drain(score_ranges(loaded, ids, [(100, 200)])).ranges
    with torch.inference_mode():
        plain = training_copy(loaded)(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)
    expected = plain[torch.arange(99, 199), torch.tensor(ids[100:])]
    assert float(np.abs(found - expected.numpy()).mean()) < (1e-4 if dtype == "float32" else 0.05)


def test_the_path_that_the_variable_names_is_tried_first(
    model_folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PATHS[:-1]:
        monkeypatch.setenv(PATH_VARIABLE, name)
        assert load(model_folders("bundled"), ServeOptions(model="bundled")).path.name == name
    monkeypatch.setenv(PATH_VARIABLE, "scenic")
    with pytest.raises(ScorerError, match="MEMSCOPE_SERVE_PATH=scenic: unknown; use one of products, flash, stock"):
        load(model_folders("bundled"), ServeOptions(model="bundled"))


@pytest.mark.parametrize("positions", [20, 70, 100, 150])
def test_a_short_context_is_used_to_its_end(
    positions: int, saved_model: Callable[[str, Callable[[], PreTrainedModel]], Path], drain: Callable[[Any], Any]
) -> None:
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=2, n_positions=positions, initializer_range=0.2)
    loaded = load(saved_model("gpt2", lambda: GPT2LMHeadModel(config)), ServeOptions(model="gpt2"))
    ids = random.Random(3).choices(range(64), k=positions)
    (found,) = drain(score_ranges(loaded, ids, [(10, positions)])).ranges
    with torch.inference_mode():
        plain = training_copy(loaded)(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    expected = plain[torch.arange(9, positions - 1), torch.tensor(ids[10:])]
    assert found == pytest.approx(expected.numpy(), abs=1e-4)
