"""What a grid knows of its cells."""

import math
from array import array

from memscope.scoring.grid import Column, Grid, Row


def grid() -> Grid:
    rows = (Row("a", "identity", "", 1, 0), Row("b", "conversation", "", 1, 2))
    return Grid(rows, tuple(Column(n, n, "", "", None) for n in range(3)))


def test_cells_before_a_memory_are_zero_and_all_others_not_scored() -> None:
    fresh = grid()
    assert [fresh.scored(0, n) for n in range(3)] == [False] * 3
    assert [fresh.scored(1, n) for n in range(3)] == [True, True, False]
    assert list(fresh.values[1][:2]) == [0.0, 0.0]


def test_sums_clamp_negatives_and_skip_what_is_not_scored() -> None:
    filled = grid()
    filled.set_row(0, array("d", [2.0, -5.0, math.nan]))
    filled.set_row(1, array("d", [0.0, 0.0, 0.005]))
    assert filled.importance(0) == 2.0
    assert filled.maximum(0) == 2.0
    assert filled.dependence(1) == 0.0
    assert filled.dependence(0) == 2.0
    assert (filled.cells_set(0), filled.cells_set(1)) == (1, 0)


def test_a_failed_row_keeps_its_error_until_it_is_scored_or_reset() -> None:
    broken = grid()
    broken.fail_row(0, "no")
    assert (broken.status[0], broken.errors) == ("failed", {0: "no"})
    broken.set_row(0, array("d", [1.0] * 3))
    assert (broken.status[0], broken.errors) == ("done", {})
    broken.fail_row(0, "no")
    broken.reset_row(0)
    assert (broken.status[0], broken.errors, broken.scored(0, 0)) == ("waiting", {}, False)
