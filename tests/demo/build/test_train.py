"""Training continues after an interruption to exactly the weights of an uninterrupted run."""

from pathlib import Path

import torch

from memscope.demo.build.train import Recipe, TrainingStage, train

RECIPE = Recipe(
    stages=(
        TrainingStage(3, (2, 3), (2, 3), False, 600),
        TrainingStage(2, (2, 4), (2, 3), True, 600, forget=0.5, rate=0.5),
    ),
    vocabulary=600,
    processes=1,
    warm=2,
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    model: dict[str, torch.Tensor] = state["model"]
    return model


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    train(tmp_path / "whole", RECIPE, every=2)
    train(tmp_path / "parts", RECIPE, until=2, every=2)
    train(tmp_path / "parts", RECIPE, every=2)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "parts" / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_the_rate_warms_up_holds_and_falls_again_in_each_finishing_stage() -> None:
    recipe = Recipe()
    shares = [recipe.rate_factor(step) for step in range(recipe.steps)]
    assert shares[0] < shares[recipe.warm] == 1.0
    first = sum(stage.steps for stage in recipe.stages if stage.rate is None)
    for stage in recipe.stages:
        if stage.rate is not None:
            assert shares[first - 1] < 0.05
            assert shares[first] == stage.rate
            first += stage.steps
    assert shares[-1] < 0.05
