"""The user's decisions about responses: approved or rejected for training. They persist across restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from memscope.store.database import Database

__all__ = ["Decision", "Decisions"]

Decision: TypeAlias = Literal["approved", "rejected"]


class Decisions:
    """The `decisions` table. Every change is on disk before its method returns.

    Every method raises StoreError if the database cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(self, responses: Sequence[str], decision: Decision | None) -> None:
        """Set the decision about responses; None clears it."""
        with self._database.transaction(immediate=True) as connection:
            if decision is None:
                connection.executemany("DELETE FROM decisions WHERE response = ?", [(r,) for r in responses])
            else:
                connection.executemany(
                    "INSERT OR REPLACE INTO decisions VALUES (?, ?)", [(r, decision) for r in responses]
                )

    def all(self) -> dict[str, Decision]:
        """Return every decision by response."""
        with self._database.transaction() as connection:
            return dict(connection.execute("SELECT response, verdict FROM decisions").fetchall())

    def decisions(self, responses: Sequence[str]) -> dict[str, Decision]:
        """Return the decision of each response that has one."""
        known = self.all()
        return {response: known[response] for response in responses if response in known}
