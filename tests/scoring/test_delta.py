"""What changed between two scorings of a session."""

from __future__ import annotations

from array import array
from math import isnan

from memscope.scoring.delta import Changes
from memscope.scoring.grid import Column, Grid, Row


def grid(*rows: list[float]) -> Grid:
    made = Grid(
        tuple(Row(f"k{i}", "identity", "text", 1, 0) for i in range(len(rows))),
        tuple(Column(j, j, "response", "response", None) for j in range(len(rows[0]))),
    )
    for index, values in enumerate(rows):
        made.set_row(index, array("d", values))
    return made


def test_a_sum_of_changes_is_the_change_of_the_sum() -> None:
    before, after = grid([5.0, -3.5, 0.25]), grid([1.0, 2.0, -0.5])
    changes = Changes(before, after)
    assert list(changes.values[0]) == [-4.0, 5.5, -0.75]
    assert sum(changes.parts(0)) == after.importance(0) - before.importance(0)


def test_what_is_not_scored_in_both_is_no_change_yet() -> None:
    before, after = grid([5.0, 1.0]), grid([1.0, 1.0])
    after.reset_row(0)
    changes = Changes(before, after)
    assert all(map(isnan, changes.values[0]))
    assert changes.parts(0) == [0.0, 0.0]
    after.set_row(0, array("d", [2.0, 1.0]))
    changes.renew([0])
    assert list(changes.values[0]) == [-3.0, 0.0]
    assert changes.status == ["done"]


def test_the_line_of_all_memories_left_out_changes_too() -> None:
    before, after = grid([0.0, 0.0]), grid([0.0, 0.0])
    before.stripped[:], after.stripped[:] = array("d", [8.0, -1.0]), array("d", [0.5, 1.0])
    changes = Changes(before, after)
    assert list(changes.stripped) == [-7.5, 2.0]
    assert sum(changes.stripped_parts()) == 1.5 - 8.0
