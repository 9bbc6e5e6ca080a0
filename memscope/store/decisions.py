"""What the user decided about responses: approved or rejected for training. Survives restarts and re-scoring."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

from memscope.store.database import Database

__all__ = ["Decisions", "Verdict", "response_id"]

Verdict: TypeAlias = Literal["approved", "rejected"]


def response_id(session: str, entry_index: int, timestamp: str | None, text: str) -> str:
    """Return a response's identity: the same as long as the session says the same at that place."""
    parts = f"{session}\0{entry_index}\0{timestamp or ''}\0{text}"
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class Decisions:
    """The `decisions` table. Every change is on the disk before its method returns.

    Every method raises StoreError when the database cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(self, responses: Sequence[str], verdict: Verdict | None) -> None:
        """Set the verdict on responses; None takes it back."""
        with self._database.transaction(immediate=True) as connection:
            if verdict is None:
                connection.executemany("DELETE FROM decisions WHERE response = ?", [(r,) for r in responses])
            else:
                connection.executemany(
                    "INSERT OR REPLACE INTO decisions VALUES (?, ?)", [(r, verdict) for r in responses]
                )

    def verdicts(self, responses: Sequence[str]) -> dict[str, Verdict]:
        """Return the verdict of each response that has one."""
        wanted = set(responses)
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT response, verdict FROM decisions")
            return {response: verdict for response, verdict in rows if response in wanted}
