"""Samples of one session are learned in one forward, and nothing that is learned is held back by the anchor."""

from __future__ import annotations

import pytest

from memscope.server.training import sequences as rules
from memscope.server.training.request import TrainSample
from memscope.server.training.sequences import sequences_of


def test_a_sample_that_begins_another_shares_its_forward() -> None:
    first = TrainSample([1, 2, 3], [4, 5])
    second = TrainSample([1, 2, 3, 4, 5, 6, 7], [8])
    other = TrainSample([1, 9], [4])
    longest, short = sequences_of([first, second, other], vocabulary=10)
    assert longest.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert longest.targets.tolist() == [2, 3, 6]
    assert longest.anchors.tolist() == [0, 1, 4, 5]
    assert (short.ids.tolist(), short.targets.tolist(), short.anchors.tolist()) == ([1, 9, 4], [1], [0])


def test_the_same_sample_twice_is_learned_once() -> None:
    (sequence,) = sequences_of([TrainSample([1], [2, 3])] * 2, vocabulary=10)
    assert sequence.targets.tolist() == [0, 1]
    assert len(sequence.anchors) == 0


def test_anchors_are_bounded_and_spread_over_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_ANCHOR_BYTES", 4 * 100 * 11)
    (sequence,) = sequences_of([TrainSample([5] * 1001, [6])], vocabulary=100)
    assert sequence.anchors.tolist() == [0, 100, 200, 300, 400, 500, 599, 699, 799, 899, 999]
