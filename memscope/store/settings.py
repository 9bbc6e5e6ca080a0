"""Small values that outlive a run: the screen's toggles and thresholds."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from memscope.store.database import Database

__all__ = ["Settings"]

T = TypeVar("T", bool, int, float, str)


class Settings:
    """Named values in the state database, read with a default of the same type.

    All values are read once; from then on reading never waits for the disk, and a value that another process sets is
    seen by the next run.
    """

    def __init__(self, database: Database) -> None:
        """Read all values.

        Raises:
            StoreError: They cannot be read.
        """
        self._database = database
        with database.transaction() as connection:
            self._texts: dict[str, str] = dict(connection.execute("SELECT name, value FROM settings").fetchall())

    def get(self, name: str, default: T) -> T:
        """Return a value; the default when there is none, or when it is of another type."""
        text = self._texts.get(name)
        if text is None:
            return default
        try:
            return msgspec.json.decode(text, type=type(default))
        except msgspec.MsgspecError:
            return default

    def set(self, name: str, value: bool | int | float | str) -> None:
        """Set a value: in memory at once, and on the disk soon, see `Database.write_later`.

        Raises:
            StoreError: There is no event loop, and it could not be written.
        """
        text = msgspec.json.encode(value).decode()
        self._texts[name] = text
        self._database.write_later(lambda: self._write(name, text))

    def _write(self, name: str, text: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, text))
