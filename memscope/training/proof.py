"""The effect of training: the same measures before and after, for trained and for other responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from memscope.store.ledger import Shipment

__all__ = ["Measured", "Proof", "proof_by_response_id"]

Measured: TypeAlias = Mapping[str, Mapping[str, float]]
"""{"stripped": {response id: nats}, "logprob": {response id: nats}}, as kept in the ledger."""

_ID_DIGITS = 24


class Proof(msgspec.Struct, frozen=True):
    """A comparison before and after training.

    Attributes:
        before: Strip-all divergence of each trained response before training, by id, in nats.
        after: The same after training.
        fall: The relative decrease of the summed divergences, 0 to 1.
        others_moved: Mean absolute change in the log-probability of the other responses with every memory present, in
            nats per response.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    fall: float
    others_moved: float

    @property
    def overshot(self) -> tuple[str, ...]:
        """Ids of trained responses that memories now make less likely by more than one nat: trained too long."""
        return tuple(response for response, nats in self.after.items() if nats < -1.0)

    @classmethod
    def of(cls, trained: Sequence[str], before: Measured, after: Measured) -> Proof:
        """Compare two measurements of a session; responses in only one of them are ignored."""
        both = [id_ for id_ in trained if id_ in before["stripped"] and id_ in after["stripped"]]
        old, new = ({id_: float(side["stripped"][id_]) for id_ in both} for side in (before, after))
        whole, left = (sum(max(0.0, nats) for nats in side.values()) for side in (old, new))
        moved = [
            abs(float(after["logprob"][id_]) - float(nats))
            for id_, nats in before["logprob"].items()
            if id_ not in old and id_ in after["logprob"]
        ]
        fall = 1 - left / whole if whole > 0 else 0.0
        return cls(old, new, fall, sum(moved) / len(moved) if moved else 0.0)


def proof_by_response_id(shipment: Shipment, responses: Sequence[str]) -> dict[str, Measured]:
    """Return the proof of a shipment ("before", "after") as stored in the ledger, by response id.

    The first schema identified responses by position; positions are translated to ids.

    Args:
        shipment: The ledger entry.
        responses: The ids of the session's responses in order.
    """

    def name(key: str) -> str:
        return responses[int(key)] if len(key) < _ID_DIGITS and int(key) < len(responses) else key

    proof: Mapping[str, Any] = shipment.proof or {}
    return {
        when: {what: {name(key): nats for key, nats in values.items()} for what, values in measured.items()}
        for when, measured in proof.items()
    }
