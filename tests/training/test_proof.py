"""Before and after: by response id, also where an older ledger named responses by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from memscope.store.ledger import Shipment
from memscope.training.proof import Proof, proof_by_response_id

ONE, TWO = "a" * 24, "b" * 24


def shipment(proof: Mapping[str, Any] | None) -> Shipment:
    return Shipment("k", "succeeded", "url", "m", "s", "without", 0.0, "job", None, proof, ())


def test_positions_of_the_first_schema_become_ids() -> None:
    old = {"before": {"stripped": {"0": 4.0, "1": 2.0, "7": 1.0}, "logprob": {"1": -3.0}}}
    assert proof_by_response_id(shipment(old), [ONE, TWO]) == {
        "before": {"stripped": {ONE: 4.0, TWO: 2.0, "7": 1.0}, "logprob": {TWO: -3.0}}
    }
    new = {"before": {"stripped": {ONE: 4.0}, "logprob": {}}}
    assert proof_by_response_id(shipment(new), [TWO]) == new
    assert proof_by_response_id(shipment(None), [ONE]) == {}


def test_the_fall_is_of_what_was_trained_and_the_drift_of_the_others() -> None:
    before = {"stripped": {ONE: 4.0, TWO: -1.0}, "logprob": {ONE: -1.0, TWO: -2.0}}
    after = {"stripped": {ONE: 1.0, TWO: 0.0}, "logprob": {ONE: -9.0, TWO: -2.5}}
    proof = Proof.of([ONE], before, after)
    assert (dict(proof.before), dict(proof.after)) == ({ONE: 4.0}, {ONE: 1.0})
    assert proof.fall == pytest.approx(0.75)
    assert proof.others_moved == pytest.approx(0.5)
    assert proof.overshot == ()
    assert Proof.of([ONE], before, after | {"stripped": {ONE: -1.5}}).overshot == (ONE,)
