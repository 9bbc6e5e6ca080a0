"""Quantising: from nats to codes."""

from array import array
from collections.abc import Sequence
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memscope.ui.scale import (
    ABSENT,
    FAILED,
    LEVELS,
    UNSCORED,
    ZERO,
    Mode,
    Scale,
    fine_bytes,
    level_code,
    next_mode,
    nice_limit,
)

nats = st.floats(min_value=0.02, max_value=1e4)
modes = pytest.mark.parametrize("mode", ["linear", "symlog"])


def code(scale: Scale, value: float, *, failed: bool = False) -> int:
    return fine_bytes(array("d", [value]), range(1), failed=failed).translate(scale.table())[0]


@pytest.mark.parametrize("columns", [range(1, 3), (1, 2)])
def test_what_is_not_a_level_has_a_code_of_its_own(columns: Sequence[int]) -> None:
    table = Scale().table()
    assert list(fine_bytes(array("d", [0.0, 0.0, nan]), columns, failed=False).translate(table)) == [
        ABSENT,
        ZERO,
        UNSCORED,
    ]
    assert code(Scale(), nan, failed=True) == FAILED
    assert code(Scale(), 3.0, failed=True) == code(Scale(), 3.0)


def test_what_cannot_be_told_from_zero_is_zero() -> None:
    assert code(Scale(floor=0.5), 0.3) == ZERO
    assert code(Scale(floor=1e-5), 0.005) == ZERO
    assert code(Scale(floor=1e-5), 0.02) == level_code(1)


def test_negative_values_are_clamped_unless_the_view_is_signed() -> None:
    assert code(Scale(), -5.0) == ZERO
    assert code(Scale(signed=True), -100.0) == level_code(-LEVELS)


@modes
def test_the_limit_and_all_above_it_have_the_highest_level(mode: Mode) -> None:
    for value in (10.0, 11.0, 1e6, inf):
        assert code(Scale(mode, limit=10.0), value) == level_code(LEVELS)


@modes
@given(low=nats, high=nats)
def test_a_larger_value_never_has_a_lower_level(mode: Mode, low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert code(Scale(mode, 50.0), low) <= code(Scale(mode, 50.0), high)


def test_ranks_spread_the_levels_over_what_is_there() -> None:
    values = array("d", [2.0**k for k in range(-5, 13)])
    fine = fine_bytes(values, range(len(values)), failed=False)
    table = Scale("rank").table([fine.count(b) for b in range(256)])
    assert set(fine.translate(table)) == {level_code(level) for level in range(1, LEVELS + 1)}


def test_a_block_shows_its_most_important_code() -> None:
    order = [ABSENT, ZERO, UNSCORED, FAILED]
    for level in range(1, LEVELS + 1):
        order += [level_code(-level), level_code(level)]
    assert order == sorted(order)


_LIMITS = [(0.0, 0.1), (0.7, 1.0), (1.0, 1.0), (1.1, 2.0), (34.0, 50.0), (501.0, 1000.0)]


@pytest.mark.parametrize(("peak", "limit"), _LIMITS)
def test_limits_are_round(peak: float, limit: float) -> None:
    assert nice_limit(peak) == limit


def test_the_modes_cycle() -> None:
    assert next_mode(next_mode(next_mode("symlog"))) == "symlog"
