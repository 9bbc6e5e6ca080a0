"""What a response is expected to depend on comes first."""

from __future__ import annotations

import math

from memscope.scoring.expected import by_expected_effect
from memscope.scoring.grid import Grid
from memscope.scoring.layout import Column, Row
from tests.scoring.grids import filled

NAN = math.nan


def a_grid(texts: list[str], values: list[list[float]], response: str) -> Grid:
    rows = [Row(f"m{n}", "identity", text, 1, range(2)) for n, text in enumerate(texts)]
    said = [Column("r0", 0, 0, "Hello.", "Hello.", None), Column("r1", 1, 1, response, response, None)]
    return filled(rows, said, values)


def test_memories_that_are_not_mentioned_are_ordered_by_their_mean_effect_whatever_its_sign() -> None:
    grid = a_grid(["a", "b", "c"], [[1.0, NAN], [-5.0, NAN], [3.0, NAN]], "It is sunny.")
    assert by_expected_effect(grid, "r1", ["m0", "m1", "m2"]) == ["m1", "m2", "m0"]


def test_memories_are_ordered_by_the_words_that_the_response_repeats() -> None:
    texts = ["The user is called Mira.", "The user lives in Lisbon.", "The user likes chess."]
    grid = a_grid(texts, [], "Greetings from Lisbon to the user!")
    assert by_expected_effect(grid, "r1", ["m0", "m1", "m2"])[0] == "m1"


def test_a_memory_that_is_repeated_comes_before_those_that_mattered_to_other_responses() -> None:
    texts = ["Tom sits in Oslo.", "The retro is on Thursday.", "The port is 7432."]
    grid = a_grid(texts, [[2.0, NAN], [0.1, NAN]], "The port is 7432.")
    assert by_expected_effect(grid, "r1", ["m0", "m1", "m2"]) == ["m2", "m0", "m1"]
    known = a_grid(texts, [[2.0, NAN], [0.1, NAN], [0.0, NAN]], "The port is 7432.")
    assert by_expected_effect(known, "r1", ["m0", "m1", "m2"]) == ["m2", "m0", "m1"]


def test_equal_expectations_are_ordered_by_recency() -> None:
    grid = a_grid(["a", "b", "c"], [], "It is sunny.")
    assert by_expected_effect(grid, "r1", ["m0", "m2", "m1"]) == ["m2", "m1", "m0"]
    assert by_expected_effect(grid, "gone", ["m0", "m1"]) == ["m1", "m0"]
    assert by_expected_effect(grid, "r1", []) == []
