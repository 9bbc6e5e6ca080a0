"""Rotary embeddings that depend on the length: a range is scored in the sequence that ends with it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
)

from memscope.server.compute.generation_steps import generate
from memscope.server.compute.loading import LoadedModel, load, training_copy, with_weights
from memscope.server.compute.rotary import length_dependent_types
from memscope.server.compute.sampling import SamplingOptions
from memscope.server.compute.scoring_steps import prompt_logprobs, score_ranges
from memscope.server.options import ServeOptions

Drain: TypeAlias = Callable[[Any], Any]
Load: TypeAlias = Callable[[str], LoadedModel]

_SIZES: dict[str, Any] = {
    "vocab_size": 1536,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "pad_token_id": 0,
}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 12,
    "long_factor": [8.0] * 12,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
_DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
_NESTED = {"full_attention": _DYNAMIC, "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0}}
_MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "longrope": lambda: Phi3ForCausalLM(
        Phi3Config(
            rope_parameters=_LONGROPE, max_position_embeddings=256, original_max_position_embeddings=64, **_SIZES
        )
    ),
    "dynamic": lambda: LlamaForCausalLM(LlamaConfig(rope_parameters=_DYNAMIC, max_position_embeddings=64, **_SIZES)),
    "nested": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(
            rope_parameters=_NESTED,
            max_position_embeddings=64,
            layer_types=["sliding_attention", "full_attention"],
            sliding_window=512,
            head_dim=24,
            query_pre_attn_scalar=24,
            **_SIZES,
        )
    ),
}
_IDS = random.Random(1).choices(range(3, 1500), k=150)


@pytest.fixture(scope="module")
def length_models(saved_model: Callable[[str, Callable[[], PreTrainedModel]], Any]) -> Load:
    """Return a function from a kind of embedding to the loaded model."""
    made: dict[str, LoadedModel] = {}

    def loaded(kind: str) -> LoadedModel:
        if kind not in made:
            options = ServeOptions(model=kind, max_model_len=256)
            made[kind] = load(saved_model(kind, _MODELS[kind]), options)
        return made[kind]

    return loaded


def _plain(loaded: LoadedModel, ids: list[int], start: int) -> np.ndarray[Any, Any]:
    """Return the log-probabilities of ids[start:] from a forward of a model that has seen nothing before."""
    model = AutoModelForCausalLM.from_pretrained(loaded.root, dtype=torch.float32)
    with torch.inference_mode():
        logprobs = model(torch.tensor([ids]), use_cache=False).logits[0].float().log_softmax(-1)
    return np.asarray(logprobs[torch.arange(start - 1, len(ids) - 1), torch.tensor(ids[start:])])


@pytest.mark.parametrize("kind", _MODELS)
def test_every_range_is_as_a_plain_forward_of_the_sequence_that_ends_with_it(
    kind: str, length_models: Load, drain: Drain
) -> None:
    loaded = length_models(kind)
    ranges = [(100, 150), (20, 40), (50, 90), (60, 64), (60, 65)]
    found = drain(score_ranges(loaded, _IDS, ranges))
    for (start, end), values in zip(ranges, found.ranges, strict=True):
        assert values == pytest.approx(_plain(loaded, _IDS[:end], start), abs=1e-4), (start, end)


@pytest.mark.parametrize("kind", _MODELS)
def test_a_score_is_the_same_after_the_sequence_grew(kind: str, length_models: Load, drain: Drain) -> None:
    loaded = length_models(kind)
    # One below the length up to which nothing changes, and one above: there, what a module remembers would count.
    for end in (60, 90):
        before = drain(score_ranges(loaded, _IDS[:end], [(20, end)])).ranges[0]
        drain(score_ranges(loaded, _IDS, [(100, 150)]))
        alone = drain(score_ranges(loaded, _IDS[:end], [(20, end)])).ranges[0]
        after = drain(score_ranges(loaded, _IDS, [(20, end), (100, 150)])).ranges[0]
        assert np.array_equal(before, alone)
        assert np.array_equal(before, after)
    short = drain(score_ranges(loaded, _IDS[:60], [(20, 60)])).ranges[0]
    assert not np.allclose(short, _plain(loaded, _IDS, 20)[:40], atol=0.1), "the length does matter here"


@pytest.mark.parametrize("kind", _MODELS)
def test_prompt_logprobs_are_of_the_whole_prompt(kind: str, length_models: Load, drain: Drain) -> None:
    loaded = length_models(kind)
    prompt = drain(prompt_logprobs(loaded, _IDS)).logprobs
    assert np.array_equal(np.array(prompt, dtype=np.float32), drain(score_ranges(loaded, _IDS, [(1, 150)])).ranges[0])


@pytest.mark.parametrize("kind", _MODELS)
def test_a_short_text_is_generated_alike_after_a_long_sequence(kind: str, length_models: Load, drain: Drain) -> None:
    loaded = length_models(kind)

    def text() -> list[float]:
        tokens: list[float] = []
        options = SamplingOptions(temperature=0.0)
        drain(generate(loaded, _IDS[:20], 8, options, lambda token: tokens.append(token.logprob)))
        return tokens

    before = text()
    drain(score_ranges(loaded, _IDS, [(100, 150)]))
    assert text() == before


@pytest.mark.parametrize("kind", _MODELS)
def test_other_weights_start_afresh_too(kind: str, length_models: Load, drain: Drain) -> None:
    loaded = length_models(kind)
    drain(score_ranges(loaded, _IDS, [(100, 150)]))
    fresh = with_weights(loaded, training_copy(loaded))
    one, other = (drain(score_ranges(model, _IDS, [(20, 60)])).ranges[0] for model in (loaded, fresh))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("kind", _MODELS)
def test_length_dependence_is_noted(kind: str, length_models: Load) -> None:
    path = length_models(kind).path
    assert (path.name, path.prefix_cache) == ("ranges", False)
    named = "longrope" if kind == "longrope" else "dynamic"
    assert path.note == (
        f"each response is computed by itself: rotary embeddings of type {named} depend on the length of the whole"
        " sequence"
    )


def test_below_the_first_length_nothing_depends_on_it() -> None:
    for model in (make() for make in _MODELS.values()):
        assert length_dependent_types(model, 64) == []
        assert length_dependent_types(model, 65)
        assert length_dependent_types(model, None)
