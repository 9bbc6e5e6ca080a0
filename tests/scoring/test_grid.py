"""What a grid knows of its cells."""

from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from memscope.scoring.grid import Grid
from memscope.scoring.layout import Layout, Row
from memscope.scoring.table import ALL_LEFT_OUT, NOTHING_LEFT_OUT, AblationTable, only, without
from tests.scoring.grids import columns, filled, set_row

ROWS = (Row("a", "identity", "", 1, range(3)), Row("b", "conversation", "", 1, range(2, 3)))


def grid() -> Grid:
    return Grid(Layout(ROWS, columns(3)), AblationTable())


def test_cells_before_a_memory_are_zero_and_all_others_not_scored() -> None:
    fresh = grid()
    assert [fresh.scored(0, n) for n in range(3)] == [False] * 3
    assert [fresh.scored(1, n) for n in range(3)] == [True, True, False]
    assert list(fresh.values[1][:2]) == [0.0, 0.0]
    assert [fresh.cell_source(1, n) for n in range(3)] == ["inherited", "inherited", "unknown"]
    assert (fresh.status, fresh.blank) == (["waiting", "waiting"], True)


def test_both_measures_are_arithmetic_over_one_table() -> None:
    table = AblationTable()
    layout = Layout(ROWS[:1], columns(1))
    for ablation, nats in ((NOTHING_LEFT_OUT, -1.0), (without("a"), -4.0), (ALL_LEFT_OUT, -9.0), (only("a"), -3.0)):
        table.put(ablation, {"r0": nats})
    necessity, sufficiency = Grid(layout, table), Grid(layout, table, "sufficiency")
    assert necessity.values[0][0] == pytest.approx(3.0)
    assert sufficiency.values[0][0] == pytest.approx(6.0)
    assert necessity.stripped[0] == sufficiency.stripped[0] == pytest.approx(8.0)
    assert necessity.cell_source(0, 0) == "measured"


def test_sums_clamp_negatives_and_skip_what_is_not_scored() -> None:
    known = filled(ROWS, columns(3), [[2.0, -5.0, math.nan], [0.0, 0.0, 0.005]])
    assert known.importance(0) == 2.0
    assert known.maximum(0) == 2.0
    assert known.dependence(1) == 0.0
    assert known.dependence(0) == 2.0
    assert (known.cells_set(0), known.cells_set(1)) == (1, 0)


def test_a_failed_row_keeps_its_error_until_all_of_it_is_scored() -> None:
    broken = filled(ROWS, columns(3))
    broken.start_row("a")
    assert broken.status[0] == "running"
    broken.stop_row("a", "no")
    assert (broken.status[0], broken.errors, broken.keys_with("failed")) == ("failed", {"a": "no"}, ["a"])
    set_row(broken, "a", [1.0, 1.0, math.nan])
    assert (broken.status[0], broken.errors) == ("failed", {"a": "no"}), "one cell is still missing"
    set_row(broken, "a", [1.0] * 3)
    assert (broken.status[0], broken.errors) == ("done", {})


def test_a_longer_layout_keeps_every_scored_cell_and_waits_for_the_new_ones() -> None:
    known = filled(ROWS, columns(3), [[1.0, 2.0, 3.0], [0.0, 0.0, 4.0]])
    assert known.status == ["done", "done"]
    longer = (Row("a", "identity", "", 1, range(5)), Row("b", "conversation", "", 1, range(2, 5)))
    new = Row("c", "conversation", "", 1, range(4, 5))
    known.set_layout(Layout((*longer, new), columns(5)))
    assert [list(values[:3]) for values in known.values[:2]] == [[1.0, 2.0, 3.0], [0.0, 0.0, 4.0]]
    assert known.status == ["waiting"] * 3
    assert [known.scored(0, n) for n in range(5)] == [True, True, True, False, False]


def test_other_weights_begin_an_empty_table() -> None:
    known = filled(ROWS, columns(3), [[1.0] * 3])
    before = known.with_layout(known.layout)
    known.stop_row("b", "no")
    known.set_table(AblationTable())
    assert (known.blank, known.errors, known.status) == (True, {}, ["waiting", "waiting"])
    assert list(before.values[0]) == [1.0] * 3


def test_what_a_response_cites_comes_with_what_was_measured() -> None:
    row = Row("db", "conversation", "", 1, range(1, 3))
    before, after = columns(2)
    grid = filled([row], [before, replace(after, cited=("db", "gone"))], [[0.0, 2.5]])
    assert grid.cited(0) == ()
    assert grid.cited(1) == (("db", 2.5), ("gone", None))
    early = filled([row], [replace(before, cited=("db",)), after])
    assert early.cited(0) == (("db", None),)
