"""How much each memory has mattered so far: a moving average that rises fast and forgets slowly."""

from __future__ import annotations

from dataclasses import dataclass

from memscope.store.database import Database

__all__ = ["MemoryWeight", "MemoryWeights", "averaged"]

_RISING = 0.5
_FALLING = 0.1


@dataclass(frozen=True, slots=True)
class MemoryWeight:
    """What is remembered of one memory: weight in nats, unix seconds of the last scoring, how often it was scored."""

    weight: float
    last_scored: float
    times: int


def averaged(weight: float | None, value: float) -> float:
    """Return the exponentially weighted moving average after one more value; the first value is the average."""
    if weight is None:
        return value
    alpha = _RISING if value > weight else _FALLING
    return weight + alpha * (value - weight)


class MemoryWeights:
    """The `memories` table, by model and memory key. Every method raises StoreError when it cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, model: str) -> dict[str, MemoryWeight]:
        """Return what is remembered, by memory key."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT key, weight, last_scored, times FROM memories WHERE model = ?", (model,)
            ).fetchall()
        return {key: MemoryWeight(weight, last, times) for key, weight, last, times in rows}

    def add(self, model: str, key: str, value: float, now: float) -> MemoryWeight:
        """Take one more value, in nats, at `now` (unix seconds), and return what is remembered then."""
        with self._database.transaction(immediate=True) as connection:
            row = connection.execute(
                "SELECT weight, times FROM memories WHERE model = ? AND key = ?", (model, key)
            ).fetchone()
            weight, times = row or (None, 0)
            entry = MemoryWeight(averaged(weight, value), now, times + 1)
            connection.execute(
                "INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?, ?)",
                (model, key, entry.weight, entry.last_scored, entry.times),
            )
        return entry
