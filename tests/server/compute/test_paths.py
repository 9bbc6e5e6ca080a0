"""Caches that cannot be cut anywhere are detected and said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from transformers import MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.paths import obstacle

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
def test_full_attention_shares_prefixes(architecture: str, loaded_models: Callable[[str], LoadedModel]) -> None:
    path = loaded_models(architecture).path
    assert path.prefix_cache
    assert path.note == ""


def test_a_sliding_window_is_computed_plainly_and_said(loaded_models: Callable[[str], LoadedModel]) -> None:
    path = loaded_models("gemma").path
    assert not path.prefix_cache
    assert path.note == ("computed without prefix reuse: the sliding window of 16 tokens is shorter than the context")


@pytest.mark.parametrize(("window", "hindered"), [(64, True), (256, False), (None, False)])
def test_a_window_hinders_only_where_it_is_shorter_than_the_context(window: int | None, hindered: bool) -> None:
    model = MistralForCausalLM(MistralConfig(sliding_window=window, **_SIZES))
    assert bool(obstacle(model, 256)) == hindered


def test_layers_that_keep_a_state_are_named() -> None:
    model = Qwen3ForCausalLM(Qwen3Config(**_SIZES))
    model.config.layer_types = ["linear_attention", "full_attention"]
    assert obstacle(model, 256) == "layers of kind linear_attention keep a state that cannot be cut"
