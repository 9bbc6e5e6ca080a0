"""What the database holds of one session's responses, in memory: the screen reads it without waiting for the disk.

Verdicts count here as soon as they are given; those that did not reach the disk are taken back, and whoever gave them
is told. What was sent to training is only read here: `memscope.store.ledger` writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from memscope.store.database import Database
from memscope.store.decisions import Decision, Decisions
from memscope.store.ledger import Ledger, Shipment, TrainingMark, marks_of

__all__ = ["SessionMarks"]


@dataclass(frozen=True, eq=False, slots=True)
class _PendingDecision:
    responses: tuple[str, ...]
    decision: Decision | None


class SessionMarks:
    """An in-memory copy of the decisions and shipments of one session. All methods belong to one event loop."""

    def __init__(self, database: Database, session: str) -> None:
        """Read everything once, which may wait for the disk.

        Args:
            database: Where it is kept.
            session: The session's id.

        Raises:
            StoreError: It cannot be read.
        """
        self._database, self._session = database, session
        self._decisions, self._ledger = Decisions(database), Ledger(database)
        self._pending: list[_PendingDecision] = []
        self._saved, self._shipments = self._read()

    @property
    def shipments(self) -> tuple[Shipment, ...]:
        """What was sent of this session, oldest first."""
        return self._shipments

    def marks(self, responses: Sequence[str]) -> dict[str, TrainingMark]:
        """Return the mark of each response that has one: the strongest of all its shipments."""
        known = marks_of((sample.response, s.state) for s in self._shipments for sample in s.samples)
        return {response: known[response] for response in responses if response in known}

    def decisions(self, responses: Sequence[str]) -> dict[str, Decision]:
        """Return the decision of each response that has one."""
        now: dict[str, Decision | None] = {**self._saved}
        for pending in self._pending:
            now |= dict.fromkeys(pending.responses, pending.decision)
        return {response: decision for response in responses if (decision := now.get(response)) is not None}

    def decide(self, responses: Sequence[str], decision: Decision | None) -> asyncio.Future[None]:
        """Set the decision about responses; None takes it back. It counts at once.

        Returns:
            What to await: done once the decision is on the disk. It raises StoreError when it could not be written, and
            then it no longer counts. Cancelling what awaits it takes nothing back.
        """
        pending = _PendingDecision(tuple(responses), decision)
        self._pending.append(pending)
        return asyncio.shield(asyncio.ensure_future(self._write(pending)))

    async def reload(self) -> None:
        """Read everything again: after a change in the ledger.

        Raises:
            StoreError: It cannot be read; what was known stays.
        """
        self._saved, self._shipments = await self._database.run(self._read)

    async def refresh(self) -> bool:
        """Read again what another process may have changed.

        Returns:
            Whether there was anything to read.

        Raises:
            StoreError: It cannot be read; what was known stays.
        """
        if changed := await self._database.run(self._database.changed_elsewhere):
            await self.reload()
        return changed

    async def _write(self, pending: _PendingDecision) -> None:
        try:
            await self._database.run(self._decisions.decide, pending.responses, pending.decision)
            for response in pending.responses:
                if pending.decision is None:
                    self._saved.pop(response, None)
                else:
                    self._saved[response] = pending.decision
        finally:
            self._pending.remove(pending)

    def _read(self) -> tuple[dict[str, Decision], tuple[Shipment, ...]]:
        return self._decisions.all(), self._ledger.shipments(self._session)
