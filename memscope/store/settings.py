"""Values that persist between runs, such as the screen's toggles and threshold."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from memscope.store.database import Database

__all__ = ["Settings"]

T = TypeVar("T", bool, int, float, str)


class Settings:
    """Named values in the state database; each is read with a default of the same type.

    All values are loaded once, so reads never wait for the disk, and a value set by another process takes effect in the
    next run.
    """

    def __init__(self, database: Database) -> None:
        """Load all values.

        Raises:
            StoreError: They cannot be read.
        """
        self._database = database
        with database.transaction() as connection:
            self._texts: dict[str, str] = dict(connection.execute("SELECT name, value FROM settings").fetchall())

    def get(self, name: str, default: T) -> T:
        """Return a value, or the default if there is none or it has another type."""
        text = self._texts.get(name)
        if text is None:
            return default
        try:
            return msgspec.json.decode(text, type=type(default))
        except msgspec.MsgspecError:
            return default

    def set(self, name: str, value: bool | int | float | str) -> None:
        """Set a value in memory at once, and on disk soon; see `Database.write_later`.

        Raises:
            StoreError: There is no event loop, and the write failed.
        """
        text = msgspec.json.encode(value).decode()
        self._texts[name] = text
        self._database.write_later(lambda: self._write(name, text))

    def _write(self, name: str, text: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, text))
