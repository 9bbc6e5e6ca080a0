"""The proof that training worked: the same measures before and after, on what was trained and on what was not."""

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
    """Before and after.

    Attributes:
        before: Strip-all divergence of each trained response before training, by id, nats.
        after: The same after it.
        fall: How much of the sum of the divergences is gone, 0 to 1.
        others_moved: Mean magnitude by which the log-probability of the other responses changed with every memory
            present, nats a response.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]
    fall: float
    others_moved: float

    @property
    def overshot(self) -> tuple[str, ...]:
        """Ids of trained responses that memories now make less likely, by more than a nat: trained too long."""
        return tuple(response for response, nats in self.after.items() if nats < -1.0)

    @classmethod
    def of(cls, trained: Sequence[str], before: Measured, after: Measured) -> Proof:
        """Compare two measurements of a session; responses that are only in one of them are passed over."""
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
    """Return what the ledger keeps of a shipment's proof ("before", "after").

    The first schema named responses by their position; those names are translated.

    Args:
        shipment: The ledger's entry.
        responses: The ids of the session's responses in order.
    """

    def name(key: str) -> str:
        return responses[int(key)] if len(key) < _ID_DIGITS and int(key) < len(responses) else key

    proof: Mapping[str, Any] = shipment.proof or {}
    return {
        when: {what: {name(key): nats for key, nats in values.items()} for what, values in measured.items()}
        for when, measured in proof.items()
    }
