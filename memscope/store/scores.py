"""A content-addressed store of scores, so that nothing is computed twice and no stale score is shown.

The key of a score is a hash over everything it depends on: the scorer's identity (model, weights, dtype, dialect), all
ids from the beginning of the sequence through the last scored one, and the start of the scored range. A causal model's
score depends on nothing after the range, so a session that has grown keeps the scores of its earlier responses, and a
leave-one-out run shares the scores of every response before the memory.
"""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Mapping, Sequence
from math import inf

from memscope.errors import StoreError
from memscope.store.database import Database

__all__ = ["Score", "ScoreStore", "score_keys"]

_KEY_BYTES = 20
_QUERY_SIZE = 500
_USED_PRECISION = 3600
"""Resolution of `used` in seconds: precise enough for eviction, while reads seldom cause a write."""
_TOKEN_BYTES_LIMIT = 512 * 2**20
"""Limit on the total size of token values; beyond it the least recently used scores are deleted."""
_PAUSE_SECONDS = 60.0
"""Pause of writes after a failure: waiting for a lock with every request would slow down a run."""

Score = tuple[float, "array[float]"]
"""Log-probability of a range in nats, and of each of its tokens (float32)."""


def score_keys(scorer: str, ids: array[int], ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return the content address of each range.

    Args:
        scorer: Identity of the function from ids to log-probabilities.
        ids: Token ids, as unsigned 32-bit integers.
        ranges: [start, end) positions, in ascending order of `end`.
    """
    raw = memoryview(ids).cast("B")
    width = ids.itemsize
    running = hashlib.blake2b(scorer.encode(), digest_size=_KEY_BYTES)
    running.update(b"\0")
    keys = []
    done = 0
    for start, end in ranges:
        running.update(raw[done * width : end * width])
        done = end
        one = running.copy()
        one.update(start.to_bytes(8, "little"))
        keys.append(one.digest())
    return keys


class ScoreStore:
    """The `scores` table. A write failure is reported once and never stops a run, which continues without cache."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.notes: list[str] = []
        self._writable_from = -inf

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        """Return the scores that are known among `keys`, and note that they were used."""
        found: dict[bytes, Score] = {}
        stale: list[bytes] = []
        now = int(time.time())
        try:
            with self._database.transaction() as connection:
                for i in range(0, len(keys), _QUERY_SIZE):
                    part = keys[i : i + _QUERY_SIZE]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, total, tokens, used FROM scores WHERE key IN ({marks})"  # noqa: S608
                    for key, total, tokens, used in connection.execute(query, part):
                        found[key] = (total, array("f", tokens))
                        if used < now - _USED_PRECISION:
                            stale.append(key)
            if stale and self._writable:
                # Not in the transaction that read: it could not write once another process has written meanwhile.
                with self._database.transaction() as connection:
                    rows = [(now, key) for key in stale]
                    connection.executemany("UPDATE scores SET used = ? WHERE key = ?", rows)
        except StoreError as error:
            self._note(error)
        return found

    def put(self, scores: Mapping[bytes, Score]) -> None:
        """Store scores, replacing earlier ones."""
        if not self._writable:
            return
        now = int(time.time())
        rows = [(key, total, tokens.tobytes(), now) for key, (total, tokens) in scores.items()]
        try:
            with self._database.transaction() as connection:
                connection.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", rows)
        except StoreError as error:
            self._note(error)

    def trim(self, limit: int = _TOKEN_BYTES_LIMIT) -> int:
        """Delete the least recently used scores until token values fit `limit` bytes; return the number deleted."""
        try:
            with self._database.transaction(immediate=True) as connection:
                cursor = connection.execute(
                    "DELETE FROM scores WHERE key IN (SELECT key FROM ("
                    "SELECT key, SUM(length(tokens) + 64) OVER (ORDER BY used DESC, key) AS held FROM scores"
                    ") WHERE held > ?)",
                    (limit,),
                )
                return cursor.rowcount
        except StoreError as error:
            self._note(error)
            return 0

    @property
    def _writable(self) -> bool:
        return time.monotonic() >= self._writable_from

    def _note(self, error: StoreError) -> None:
        self._writable_from = time.monotonic() + _PAUSE_SECONDS
        line = f"{error}; continuing without cache"
        if line not in self.notes:
            self.notes.append(line)
