"""What changed between two scorings of a session."""

from __future__ import annotations

from math import isnan, nan

from memscope.scoring.delta import Changes
from memscope.scoring.grid import Grid
from memscope.scoring.layout import Row
from memscope.scoring.table import ALL_LEFT_OUT, NOTHING_LEFT_OUT
from tests.scoring.grids import columns, filled, set_row


def grid(*rows: list[float], responses: int = 0) -> Grid:
    count = responses or len(rows[0])
    memories = [Row(f"k{i}", "identity", "text", 1, range(count)) for i in range(len(rows))]
    return filled(memories, columns(count), rows)


def test_a_sum_of_changes_is_the_change_of_the_sum() -> None:
    before, after = grid([5.0, -3.5, 0.25]), grid([1.0, 2.0, -0.5])
    changes = Changes(before, after)
    assert list(changes.values[0]) == [-4.0, 5.5, -0.75]
    assert sum(changes.contributions(0)) == after.importance(0) - before.importance(0)


def test_what_is_not_scored_in_both_is_no_change_yet() -> None:
    before, after = grid([5.0, 1.0]), grid([nan, nan])
    changes = Changes(before, after)
    assert all(map(isnan, changes.values[0]))
    assert changes.contributions(0) == [0.0, 0.0]
    set_row(after, "k0", [2.0, 1.0])
    changes.refresh_rows([0])
    assert list(changes.values[0]) == [-3.0, 0.0]
    assert changes.status == ["done"]


def test_a_session_that_grew_is_compared_where_both_know_it() -> None:
    before, after = grid([5.0]), grid([1.0, 7.0], [3.0, 3.0])
    changes = Changes(before, after)
    assert changes.values[0][0] == -4.0
    assert isnan(changes.values[0][1])
    assert all(map(isnan, changes.values[1]))


def test_the_line_of_all_memories_left_out_changes_too() -> None:
    before, after = grid([0.0, 0.0]), grid([0.0, 0.0])
    for side, stripped in ((before, [8.0, -1.0]), (after, [0.5, 1.0])):
        side.table.put(NOTHING_LEFT_OUT, dict.fromkeys(("r0", "r1"), 0.0))
        side.table.put(ALL_LEFT_OUT, {f"r{n}": -nats for n, nats in enumerate(stripped)})
        side.refresh_responses()
    changes = Changes(before, after)
    assert list(changes.stripped) == [-7.5, 2.0]
    assert sum(changes.stripped_contributions()) == 1.5 - 8.0
