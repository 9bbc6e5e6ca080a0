"""Open the state database without ever losing the user's decisions and training marks.

Invariants:

- a database written by a newer memscope is refused and left untouched;
- one written by an older memscope is migrated, see `memscope.store.migrations`;
- a damaged file is renamed, never deleted, and a new database is created;
- if no file can be written, memscope continues with a database in memory and says so once;
- only the owner can read the file.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from memscope.errors import StoreError
from memscope.store.migrations import SCHEMA_VERSION, TABLES, migrate, schema_version
from memscope.store.private import make_private_file, make_private_folder, restrict_permissions

__all__ = ["BUSY_SECONDS", "OpenedDatabase", "open_database"]

BUSY_SECONDS = 10.0
"""How long to wait for another process that holds the database's lock."""

_FILE_NAME = "memscope.db"
_CHECKED_BYTES = 64 * 2**20
"""Larger files are not checked when opened, since that would cause a noticeable delay."""


@dataclass
class OpenedDatabase:
    """An open database.

    Attributes:
        connection: A connection in autocommit mode, for use by one thread at a time.
        path: The database file; None for a database in memory.
        notes: Messages to the user about how it was opened, one line each.
    """

    connection: sqlite3.Connection
    path: Path | None
    notes: list[str] = field(default_factory=list)


def open_database(folder: Path | None) -> OpenedDatabase:
    """Open the database in a folder; None uses a database in memory.

    Raises:
        StoreError: It was written by a newer memscope.
    """
    if folder is None:
        return OpenedDatabase(_connect(":memory:"), None)
    path = folder / _FILE_NAME
    notes: list[str] = []
    try:
        notes += _make_private(path)
        return OpenedDatabase(_connect_patiently(path), path, notes)
    except (OSError, sqlite3.Error) as error:
        # SQLite reports damage as DatabaseError itself; its subclasses do not mean that the file is damaged.
        return _set_aside(path, error) if type(error) is sqlite3.DatabaseError else _in_memory(path, error)


def _make_private(path: Path) -> list[str]:
    make_private_folder(path.parent)
    make_private_file(path)  # SQLite creates its other files with the same mode
    return [
        f"other users can read {still_open}: its mode cannot be changed"
        for still_open in restrict_permissions(path.parent)[:1]
    ]


def _set_aside(path: Path, error: Exception) -> OpenedDatabase:
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**6}")
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        _make_private(path)
        connection = _connect(path)
    except (OSError, sqlite3.Error) as trouble:
        return _in_memory(path, trouble)
    note = f"state database {path} is damaged ({error}); renamed to {aside.name}, and a new one created"
    return OpenedDatabase(connection, path, [note])


def _in_memory(path: Path, error: Exception) -> OpenedDatabase:
    note = f"state folder {path.parent} cannot be used ({error}): running without cache, nothing will be saved"
    return OpenedDatabase(_connect(":memory:"), None, [note])


def _connect_patiently(path: Path) -> sqlite3.Connection:
    """Connect, waiting while another process creates the file, which SQLite itself does not wait for."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _connect(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
        time.sleep(0.02)


def _connect(target: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(target, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _refuse_newer(connection, target)
        connection.execute("PRAGMA journal_mode = WAL")
        _check_sound(connection)
        migrate(connection)
        _check_complete(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_newer(connection: sqlite3.Connection, target: Path | str) -> None:
    if (version := schema_version(connection)) > SCHEMA_VERSION:
        raise StoreError(
            f"{target}: written by a newer memscope (schema {version}, this version supports {SCHEMA_VERSION}); "
            "update memscope, or choose another folder with --state"
        )


def _check_sound(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if pages * page_bytes <= _CHECKED_BYTES:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise sqlite3.DatabaseError(result)


def _check_complete(connection: sqlite3.Connection) -> None:
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := sorted(TABLES - there):
        raise sqlite3.DatabaseError(f"it has no table {missing[0]}")
