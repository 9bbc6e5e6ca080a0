from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from memscope.scoring.grid import Grid
from memscope.scoring.layout import Layout
from memscope.scoring.plausibility import answered_by_another, doubt, is_same_model, mean_logprob
from memscope.scoring.table import NOTHING_LEFT_OUT
from tests.scoring.grids import columns, filled


def expecting(*means: float) -> Grid:
    """A grid whose responses of ten tokens have these means in nats per token; NaN is not scored."""
    grid = filled((), [replace(column, tokens=10) for column in columns(len(means))])
    grid.table.put(NOTHING_LEFT_OUT, {f"r{n}": 10 * mean for n, mean in enumerate(means)})
    grid.refresh()
    return grid


def test_the_mean_of_a_response_is_in_nats_per_token() -> None:
    grid = expecting(-0.5, math.nan)
    assert mean_logprob(grid, grid.columns[0]) == -0.5
    assert math.isnan(mean_logprob(grid, grid.columns[1]))
    assert math.isnan(mean_logprob(grid, replace(grid.columns[0], tokens=None)))


@pytest.mark.parametrize("means", [(), (math.nan,), (-3.9,), (-9.0, -1.0), (-9.0, -1.0, math.nan), (-0.1,) * 5])
def test_a_model_that_expects_half_of_the_responses_is_not_questioned(means: tuple[float, ...]) -> None:
    assert doubt(expecting(*means)) is None


def test_a_model_that_hardly_expects_most_of_the_responses_is_questioned() -> None:
    assert doubt(expecting(-9.0, -1.0, -5.0, math.nan)) == (
        "this model hardly expects these answers: was it the one that wrote them? 2 of 3 responses below -4 nats per "
        "token, -5.0 in the mean; choose another one with --model or --url"
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Qwen/Qwen3-27B", "qwen3-27b", True),
        ("/models/qwen3_27b/", "Qwen3 27B", True),
        ("qwen3-27b", "qwen3-8b", False),
        ("qwen3-27b", "qwen3-27b-instruct", False),
    ],
)
def test_names_of_a_model_are_compared_without_organisation_case_and_punctuation(
    one: str, other: str, same: bool
) -> None:
    assert is_same_model(one, other) is same


def test_the_models_that_answered_are_named_by_number_of_responses() -> None:
    models = ["gpt", "claude", "claude", "tiny", ""]
    made = [replace(column, model=model) for column, model in zip(columns(5), models, strict=True)]
    assert answered_by_another(Layout((), made), "tiny") == "answered by claude, gpt, scored by tiny"
    assert answered_by_another(Layout((), made[3:]), "tiny") is None
    many = [replace(column, model=f"m{column.index}") for column in columns(5)]
    assert answered_by_another(Layout((), many), "tiny") == "answered by m0, m1, m2 and 2 more, scored by tiny"
