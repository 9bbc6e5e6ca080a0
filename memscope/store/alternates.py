"""Generated alternates, keyed by everything that determines them."""

from __future__ import annotations

import hashlib
from array import array
from typing import Any

from memscope.store.database import Database

__all__ = ["Alternates", "alternate_key"]


def alternate_key(scorer: str, context: array[int], sampling: Any) -> bytes:
    """Return the content address of a completion: scorer, context and sampling parameters.

    Args:
        scorer: Identity of the function from ids to probabilities.
        context: Token ids, unsigned 32-bit.
        sampling: Sampling parameters, including the seed; their repr is hashed.
    """
    digest = hashlib.blake2b(f"{scorer}\0{sampling!r}\0".encode(), digest_size=20)
    digest.update(memoryview(context).cast("B"))
    return digest.digest()


class Alternates:
    """The `alternates` table. Every method raises StoreError if the database is unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: bytes) -> array[int] | None:
        """Return the token ids of a stored alternate, or None."""
        return await self._database.run(self._read, key)

    async def put(self, key: bytes, ids: array[int]) -> None:
        """Store a complete alternate."""
        await self._database.run(self._write, key, ids)

    def _read(self, key: bytes) -> array[int] | None:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT ids FROM alternates WHERE key = ?", (key,)).fetchone()
        return array("I", row[0]) if row else None

    def _write(self, key: bytes, ids: array[int]) -> None:
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO alternates VALUES (?, ?)", (key, ids.tobytes()))
