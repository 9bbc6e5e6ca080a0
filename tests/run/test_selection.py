"""Which responses are sent: one rule for the screen and for the commands."""

from __future__ import annotations

import pytest

from memscope.errors import TrainingError
from memscope.run.selection import Selection, responses_by_index, select_responses
from memscope.scoring.layout import Layout
from tests.scoring.grids import columns


@pytest.mark.parametrize(
    ("requested", "approved", "fallback", "marked", "selected"),
    [
        (["b"], ["a"], ["c"], [], Selection(("b",))),
        (["b"], ["a"], ["c"], ["b"], Selection(("b",), again=True)),
        (None, ["a", "b"], ["c"], ["b"], Selection(("a",), approved=True)),
        (None, ["b"], ["b", "c"], ["b"], Selection(("c",))),
        (None, [], ["b", "c"], ["b", "c"], Selection(("b", "c"), again=True)),
        (None, [], [], [], Selection(())),
        ([], ["a"], ["c"], [], Selection(())),
    ],
)
def test_named_then_approved_then_the_rest(
    requested: list[str] | None, approved: list[str], fallback: list[str], marked: list[str], selected: Selection
) -> None:
    assert select_responses(requested=requested, approved=approved, fallback=fallback, marked=marked) == selected


def test_a_number_that_no_response_has_is_refused() -> None:
    layout = Layout((), columns(3))
    assert responses_by_index(layout, [2, 0]) == ["r2", "r0"]
    for wrong in (3, -1):
        with pytest.raises(TrainingError, match=f"there is no response {wrong}: the session has 3"):
            responses_by_index(layout, [0, wrong])
