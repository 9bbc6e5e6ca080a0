"""An in-memory copy of one session's decisions and shipments, which the screen reads without waiting for the disk.

Decisions take effect here immediately; one that cannot be written to disk is reverted, and its caller is told.
Shipments are only read here: `memscope.store.ledger` writes them.
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
    """An in-memory copy of the decisions and shipments of one session. Use it on one event loop only."""

    def __init__(self, database: Database, session: str) -> None:
        """Read everything once, which waits for the disk.

        Args:
            database: The state database.
            session: The session's id.

        Raises:
            StoreError: The database cannot be read.
        """
        self._database, self._session = database, session
        self._decisions, self._ledger = Decisions(database), Ledger(database)
        self._pending: list[_PendingDecision] = []
        self._saved, self._shipments = self._read()

    @property
    def shipments(self) -> tuple[Shipment, ...]:
        """The shipments of this session, oldest first."""
        return self._shipments

    def marks(self, responses: Sequence[str]) -> dict[str, TrainingMark]:
        """Return the mark of each response that has one: the strongest among its shipments."""
        known = marks_of((sample.response, s.state) for s in self._shipments for sample in s.samples)
        return {response: known[response] for response in responses if response in known}

    def decisions(self, responses: Sequence[str]) -> dict[str, Decision]:
        """Return the decision of each response that has one."""
        now: dict[str, Decision | None] = {**self._saved}
        for pending in self._pending:
            now |= dict.fromkeys(pending.responses, pending.decision)
        return {response: decision for response in responses if (decision := now.get(response)) is not None}

    def decide(self, responses: Sequence[str], decision: Decision | None) -> asyncio.Future[None]:
        """Set the decision about responses; None clears it. It takes effect immediately.

        Returns:
            A future that is done once the decision is on disk. It raises StoreError if the decision could not be
            written, in which case it is reverted. Cancelling an await of it reverts nothing.
        """
        pending = _PendingDecision(tuple(responses), decision)
        self._pending.append(pending)
        return asyncio.shield(asyncio.ensure_future(self._write(pending)))

    async def reload(self) -> None:
        """Read everything again, after a change in the ledger.

        Raises:
            StoreError: The database cannot be read; the copy is unchanged.
        """
        self._saved, self._shipments = await self._database.run(self._read)

    async def refresh(self, session: str) -> bool:
        """Read everything again if another process changed the database, or the session's id is known only now.

        Args:
            session: The session's id; that of a session that is followed is known once its file begins.

        Returns:
            Whether it was read again.

        Raises:
            StoreError: The database cannot be read; the copy is unchanged.
        """
        changed = await self._database.run(self._database.changed_elsewhere) or session != self._session
        if changed:
            self._session = session
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
