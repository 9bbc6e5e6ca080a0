"""How the next token is chosen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import GenerationConfig

from memscope.server.compute.loading import LoadedModel
from memscope.server.compute.sampling import Sampler, SamplingOptions

_LOGITS = torch.tensor([0.5, 0.4, 0.09, 0.01]).log()


def _draws(options: SamplingOptions, count: int = 300) -> list[int]:
    sampler = Sampler(options)
    return [sampler.draw(_LOGITS) for _ in range(count)]


def test_temperature_zero_is_greedy() -> None:
    assert set(_draws(SamplingOptions(temperature=0.0))) == {0}


def test_top_k_keeps_the_most_probable() -> None:
    assert set(_draws(SamplingOptions(top_k=2, seed=1))) == {0, 1}


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    assert set(_draws(SamplingOptions(top_p=0.89, seed=1))) == {0, 1}
    assert set(_draws(SamplingOptions(top_p=0.91, seed=1))) == {0, 1, 2}
    assert set(_draws(SamplingOptions(top_p=0.01, seed=1))) == {0}


def test_a_seed_repeats_the_draws() -> None:
    options = SamplingOptions(seed=42)
    assert _draws(options) == _draws(options)
    assert _draws(options) != _draws(SamplingOptions(seed=43))


def test_draws_follow_the_distribution() -> None:
    draws = _draws(SamplingOptions(seed=3), 4000)
    assert abs(draws.count(0) / 4000 - 0.5) < 0.03
    hot = _draws(SamplingOptions(seed=3, temperature=100.0), 4000)
    assert abs(hot.count(3) / 4000 - 0.25) < 0.03


@pytest.mark.parametrize(
    ("own", "options"),
    [
        ({"do_sample": False}, SamplingOptions(temperature=0.0)),
        ({"do_sample": False, "temperature": 0.6}, SamplingOptions(temperature=0.0)),
        ({"temperature": 0.6, "top_p": 0.95, "top_k": 20}, SamplingOptions(0.6, 0.95, 20)),
        ({}, SamplingOptions()),
    ],
)
def test_chat_samples_as_the_model_itself_says(
    loaded_models: Callable[[str], LoadedModel],
    monkeypatch: pytest.MonkeyPatch,
    own: dict[str, object],
    options: SamplingOptions,
) -> None:
    loaded = loaded_models("bundled")
    config = GenerationConfig(**own)  # type: ignore[no-untyped-call]
    monkeypatch.setattr(loaded.model, "generation_config", config)
    assert loaded.sampling == options
