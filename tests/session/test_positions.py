"""Shared positions behave like tuples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memscope.session.positions import Positions
from tests.session.strategies import QUICK

NUMBERS = st.lists(st.integers(0, 20), max_size=6)


def test_extending_shares_and_extending_again_does_not() -> None:
    first = Positions((1, 2))
    longer, other = first.extended((3,)), first.extended((4,))
    assert longer.origin is first.origin
    assert other.origin is not first.origin
    assert (tuple(first), tuple(longer), tuple(other)) == ((1, 2), (1, 2, 3), (1, 2, 4))


@QUICK
@given(st.lists(st.tuples(st.integers(0, 10), NUMBERS), max_size=8))
def test_however_they_are_extended_they_equal_tuples(steps: list[tuple[int, list[int]]]) -> None:
    made: list[tuple[Positions, tuple[int, ...]]] = [(Positions(), ())]
    for place, added in steps:
        positions, plain = made[place % len(made)]
        made.append((positions.extended(added), (*plain, *added)))
    for positions, plain in made:
        assert positions == plain
        assert plain == positions
        assert (len(positions), hash(positions), repr(positions)) == (len(plain), hash(plain), repr(plain))
        assert [value in positions for value in range(21)] == [value in plain for value in range(21)]
        for bounds in ((None, None, None), (1, None, None), (None, -1, None), (-2, None, None), (None, None, -1)):
            assert positions[slice(*bounds)] == plain[slice(*bounds)]
        assert not plain or positions[-1] == plain[-1]
    assert [(a == b) for a, _ in made for b, _ in made] == [(a == b) for _, a in made for _, b in made]
