"""The weight of each memory: a moving average of its importance that rises fast and falls slowly."""

from __future__ import annotations

from dataclasses import dataclass

from memscope.store.database import Database

__all__ = ["MemoryWeight", "MemoryWeights", "moving_average"]

_RISING = 0.5
_FALLING = 0.1


@dataclass(frozen=True, slots=True)
class MemoryWeight:
    """The stored weight of one memory in nats, the Unix time of its last scoring, and how often it was scored."""

    weight: float
    last_scored: float
    times: int


def moving_average(weight: float | None, value: float) -> float:
    """Return the exponentially weighted moving average after one more value; the first value is the average."""
    if weight is None:
        return value
    alpha = _RISING if value > weight else _FALLING
    return weight + alpha * (value - weight)


class MemoryWeights:
    """The `importance` table, restricted to the memories of one agent and one fingerprint of model weights.

    A memory is identified by its key and a hash of its text: another text under the same key is another memory.
    Every method raises StoreError if the database is unavailable.
    """

    def __init__(self, database: Database, weights: str, agent: str) -> None:
        """Select an agent and model weights.

        Args:
            database: The database with the table.
            weights: Fingerprint of the scorer's weights.
            agent: The agent that the memories belong to.
        """
        self._database, self._weights, self._agent = database, weights, agent

    def all(self) -> dict[tuple[str, str], MemoryWeight]:
        """Return the stored weights by memory key and text hash."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT key, text, weight, last_scored, times FROM importance WHERE weights = ? AND agent = ?",
                (self._weights, self._agent),
            ).fetchall()
        return {(key, text): MemoryWeight(weight, last, times) for key, text, weight, last, times in rows}

    def add(self, key: str, text: str, value: float, now: float) -> MemoryWeight:
        """Add a value in nats, measured at `now` (Unix seconds), and return the updated weight."""
        identity = (self._weights, self._agent, key, text)
        with self._database.transaction(immediate=True) as connection:
            row = connection.execute(
                "SELECT weight, times FROM importance WHERE weights = ? AND agent = ? AND key = ? AND text = ?",
                identity,
            ).fetchone()
            weight, times = row or (None, 0)
            entry = MemoryWeight(moving_average(weight, value), now, times + 1)
            connection.execute(
                "INSERT OR REPLACE INTO importance VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*identity, entry.weight, entry.last_scored, entry.times),
            )
        return entry
