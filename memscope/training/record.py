"""What the ledger says of one session: what was trained, whether it lasts, and what it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan

import msgspec

from memscope.scoring.finetune import Candidate
from memscope.scoring.grid import Column
from memscope.store.ledger import Ledger, Shipment
from memscope.training.proof import Proof

__all__ = ["Record", "Trained"]


class Trained(msgspec.Struct, frozen=True):
    """A response that counts as trained.

    Attributes:
        response: It, with its strip-all divergence before training.
        after: Its divergence after the job, nats; None while that was not measured.
        running: Its job has not ended, as far as is known.
        gone: The weights that learned it ended with their scorer.
    """

    response: Candidate
    after: float | None
    running: bool
    gone: bool


class Record:
    """Reads the ledger for one session; every method raises StoreError when it cannot be read."""

    def __init__(
        self,
        ledger: Ledger,
        session: str,
        columns: Callable[[], Mapping[str, Column]],
        gone: Callable[[Shipment], bool],
    ) -> None:
        """Take the ledger and what tells its entries apart.

        Args:
            ledger: Where shipments are.
            session: The session's id.
            columns: The session's responses by their identity in the ledger.
            gone: Whether what a shipment taught ended with its scorer.
        """
        self._ledger, self._session, self._columns, self._gone = ledger, session, columns, gone

    def shipments(self) -> tuple[Shipment, ...]:
        """Return what was sent of this session, oldest first."""
        return self._ledger.shipments(self._session)

    def proofs(self) -> dict[str, Proof]:
        """Return before and after of every shipment that was verified, by its key, oldest first."""
        return {s.key: proof for s in self.shipments() if (proof := Proof.kept(s)) is not None}

    def unproven(self) -> tuple[str, ...]:
        """Return the keys of shipments whose job succeeded and whose effect was not measured, oldest first."""
        return tuple(
            s.key
            for s in self.shipments()
            if s.state == "succeeded" and s.proof and "after" not in s.proof and not self._gone(s)
        )

    def before(self) -> dict[int, float]:
        """Return every response's divergence before the last training that was measured and lasts; else nothing."""
        lasting = [s.proof for s in self.shipments() if s.proof and "after" in s.proof and not self._gone(s)]
        return {int(index): nats for index, nats in lasting[-1]["before"]["stripped"].items()} if lasting else {}

    def trained(self) -> dict[int, Trained]:
        """Return the responses that count as trained, by index, with what their last shipment says of them."""
        columns, known = self._columns(), dict[int, Trained]()
        for shipment in self.shipments():
            if shipment.state not in ("accepted", "succeeded"):
                continue
            after = proof.after if (proof := Proof.kept(shipment)) else {}
            for sample in shipment.samples:
                if (column := columns.get(sample.response)) is not None:
                    before = nan if sample.divergence is None else sample.divergence
                    said = Candidate(column.index, column.entry_index, before, column.timestamp or "", column.text)
                    running = shipment.state == "accepted"
                    known[column.index] = Trained(said, after.get(sample.position), running, self._gone(shipment))
        return known
