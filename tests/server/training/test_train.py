"""The training loop: the copy learns, the model in use stays, half precision and recomputing change nothing in that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch

from memscope.server.compute.loading import LoadedModel, load, with_weights
from memscope.server.compute.scoring_steps import score_ranges
from memscope.server.options import ServeOptions, TrainOptions
from memscope.server.training import train
from memscope.server.training.request import TrainSample
from memscope.server.training.train import fine_tune

_SAMPLES = [TrainSample(list(range(20, 60)), [70, 71, 72]), TrainSample(list(range(100, 130)), [80])]


def _losses(loaded: LoadedModel, options: TrainOptions) -> tuple[list[float], LoadedModel]:
    losses: list[float] = []
    model = fine_tune(loaded, _SAMPLES, options, lambda _step, loss: losses.append(loss))
    return losses, with_weights(loaded, model)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_activations_computed_twice_give_the_same_weights(
    method: Literal["full", "lora"], loaded_models: Callable[[str], LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loaded_models("bundled")
    before = loaded.weights
    options = TrainOptions(steps=3, method=method)
    kept, once = _losses(loaded, options)
    monkeypatch.setattr(train, "_ACTIVATION_BYTES", 0)
    recomputed, twice = _losses(loaded, options)
    assert recomputed == pytest.approx(kept, abs=1e-4)
    assert once.weights != before == loaded_models("bundled").weights
    for one, other in zip(once.model.parameters(), twice.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-3)
        assert not one.requires_grad


def test_the_model_that_comes_back_scores_exactly(
    loaded_models: Callable[[str], LoadedModel], drain: Callable[[Any], Any], plain_sums: Callable[..., list[float]]
) -> None:
    _, trained = _losses(loaded_models("bundled"), TrainOptions(steps=2))
    ids = list(range(20, 90))
    found = drain(score_ranges(trained, ids, [(30, 70)]))
    assert not trained.model.training
    assert float(found.ranges[0].sum()) == pytest.approx(plain_sums(trained.model, ids, [(30, 70)])[0], abs=5e-4)


def test_the_anchor_keeps_other_predictions_closer(loaded_models: Callable[[str], LoadedModel]) -> None:
    loaded = loaded_models("bundled")
    ids = torch.tensor([_SAMPLES[0].context_ids])

    def moved(anchor: float) -> float:
        _, trained = _losses(loaded, TrainOptions(steps=10, anchor=anchor))
        with torch.no_grad():
            old, new = (model(ids, use_cache=False).logits.log_softmax(-1) for model in (loaded.model, trained.model))
        return float((old.exp() * (old - new))[:, :-1].sum(-1).mean())

    assert moved(3.0) < moved(0.0)


def test_half_precision_weights_still_learn_small_steps(model_folders: Callable[[str], Any]) -> None:
    options = ServeOptions(model="bundled", dtype="bfloat16")
    loaded = load(model_folders("bundled"), options)
    losses, trained = _losses(loaded, TrainOptions(steps=8, learning_rate=1e-4))
    assert trained.dtype == "bfloat16"
    assert losses[-1] < losses[0]


def test_what_the_callback_raises_ends_the_training(loaded_models: Callable[[str], LoadedModel]) -> None:
    def stop(_step: int, _loss: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fine_tune(loaded_models("bundled"), _SAMPLES, TrainOptions(), stop)
