"""Small values that outlive a run: the screen's toggles and thresholds."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from memscope.store.database import Database

__all__ = ["Settings"]

T = TypeVar("T", bool, int, float, str)


class Settings:
    """Named values in the state database, read with a default of the same type."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str, default: T) -> T:
        """Return a value; the default when there is none, or when it is of another type."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        if row is None:
            return default
        try:
            return msgspec.json.decode(row[0], type=type(default))
        except msgspec.MsgspecError:
            return default

    def set(self, name: str, value: bool | int | float | str) -> None:
        """Store a value.

        Raises:
            StoreError: It could not be written.
        """
        text = msgspec.json.encode(value).decode()
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, text))
