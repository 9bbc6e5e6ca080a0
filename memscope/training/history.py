"""The training history of one session: what was trained, whether its weights are lost, and the effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import nan

import msgspec
from msgspec.structs import replace

from memscope.scoring.finetune import Candidate
from memscope.scoring.layout import Layout
from memscope.store.ledger import Shipment
from memscope.training.proof import Proof, proof_by_response_id

__all__ = ["TrainedResponse", "TrainingHistory"]


class TrainedResponse(msgspec.Struct, frozen=True):
    """A response marked as trained.

    Attributes:
        response: The response, with its strip-all divergence before training.
        after: Its divergence after the job, in nats; None if not measured.
        running: Whether its job is not known to have ended.
        lost: Whether the trained weights were lost when their scorer stopped.
    """

    response: Candidate
    after: float | None
    running: bool
    lost: bool


class TrainingHistory:
    """A view of the shipments of one session."""

    def __init__(
        self,
        shipments: Callable[[], Iterable[Shipment]],
        layout: Callable[[], Layout],
        lost: Callable[[Shipment], bool],
    ) -> None:
        """Create a view.

        Args:
            shipments: Returns the session's current shipments, oldest first.
            layout: Returns the session's current layout.
            lost: Returns whether the weights that a shipment trained were lost.
        """
        self._shipments, self._layout, self._lost = shipments, layout, lost

    def shipment(self, key: str) -> Shipment | None:
        """Return one shipment, its proof by response id; None if there is no such key."""
        return next((shipment for shipment in self.shipments() if shipment.key == key), None)

    def shipments(self) -> tuple[Shipment, ...]:
        """Return the shipments of this session, oldest first, proofs by response id."""
        return tuple(map(self._named, self._shipments()))

    def unmeasured(self) -> tuple[str, ...]:
        """Return the keys of succeeded shipments whose effect was not measured, oldest first."""
        return tuple(
            s.key
            for s in self.shipments()
            if s.state == "succeeded" and s.proof and "after" not in s.proof and not self._lost(s)
        )

    def before(self) -> Mapping[str, float]:
        """Return divergences by response id from before the last measured training that was not lost; {} if none."""
        lasting = [s.proof for s in self.shipments() if s.proof and "after" in s.proof and not self._lost(s)]
        return lasting[-1]["before"]["stripped"] if lasting else {}

    def trained(self) -> dict[str, TrainedResponse]:
        """Return the responses marked as trained by id, according to their last shipment."""
        known: dict[str, TrainedResponse] = {}
        for shipment in self.shipments():
            if shipment.state in ("accepted", "succeeded"):
                known |= self._trained(shipment)
        return known

    def _trained(self, shipment: Shipment) -> dict[str, TrainedResponse]:
        layout, proof = self._layout(), _proof(shipment)
        after: Mapping[str, float] = proof.after if proof else {}
        running, lost = shipment.state == "accepted", self._lost(shipment)
        known = {}
        for sample in shipment.samples:
            if (place := layout.column_index(sample.response)) is not None:
                column = layout.columns[place]
                before = nan if sample.divergence is None else sample.divergence
                stamp = column.timestamp or ""
                said = Candidate(column.id, column.index, column.entry_index, before, stamp, column.text)
                known[column.id] = TrainedResponse(said, after.get(column.id), running, lost)
        return known

    def _named(self, shipment: Shipment) -> Shipment:
        return replace(shipment, proof=proof_by_response_id(shipment, self._layout().responses) or None)


def _proof(shipment: Shipment) -> Proof | None:
    if not shipment.proof or "after" not in shipment.proof:
        return None
    return Proof.of([sample.response for sample in shipment.samples], shipment.proof["before"], shipment.proof["after"])
