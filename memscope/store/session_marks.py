"""What the database holds of one session's responses, in memory: the screen reads it without waiting for the disk.

Verdicts count here as soon as they are given; those that did not reach the disk are taken back, and whoever gave them
is told. What was sent to training is only read here: `memscope.store.ledger` writes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from memscope.store.database import Database
from memscope.store.decisions import Decisions, Verdict
from memscope.store.ledger import Ledger, Shipment, TrainingMark, marks_of

__all__ = ["SessionMarks"]


@dataclass(frozen=True, eq=False, slots=True)
class _Decision:
    responses: tuple[str, ...]
    verdict: Verdict | None


class SessionMarks:
    """An in-memory copy of the verdicts and shipments of one session. All methods belong to one event loop."""

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
        self._pending: list[_Decision] = []
        self._saved, self._shipments = self._read()

    @property
    def shipments(self) -> tuple[Shipment, ...]:
        """What was sent of this session, oldest first."""
        return self._shipments

    def marks(self, responses: Sequence[str]) -> dict[str, TrainingMark]:
        """Return the mark of each response that has one: the strongest of all its shipments."""
        known = marks_of((sample.response, s.state) for s in self._shipments for sample in s.samples)
        return {response: known[response] for response in responses if response in known}

    def verdicts(self, responses: Sequence[str]) -> dict[str, Verdict]:
        """Return the verdict of each response that has one."""
        now: dict[str, Verdict | None] = {**self._saved}
        for decision in self._pending:
            now |= dict.fromkeys(decision.responses, decision.verdict)
        return {response: verdict for response in responses if (verdict := now.get(response)) is not None}

    def decide(self, responses: Sequence[str], verdict: Verdict | None) -> asyncio.Future[None]:
        """Set the verdict on responses; None takes it back. It counts at once.

        Returns:
            What to await: done once the verdict is on the disk. It raises StoreError when it could not be written, and
            then it no longer counts. Cancelling what awaits it takes nothing back.
        """
        decision = _Decision(tuple(responses), verdict)
        self._pending.append(decision)
        return asyncio.shield(asyncio.ensure_future(self._write(decision)))

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

    async def _write(self, decision: _Decision) -> None:
        try:
            await self._database.run(self._decisions.decide, decision.responses, decision.verdict)
            for response in decision.responses:
                if decision.verdict is None:
                    self._saved.pop(response, None)
                else:
                    self._saved[response] = decision.verdict
        finally:
            self._pending.remove(decision)

    def _read(self) -> tuple[dict[str, Verdict], tuple[Shipment, ...]]:
        return self._decisions.all(), self._ledger.shipments(self._session)
