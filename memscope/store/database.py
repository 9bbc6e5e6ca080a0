"""The state database: one SQLite file, opened so that nothing a user marked is ever lost.

Invariants that live here:

- a database written by a newer memscope is refused and left untouched;
- a file that is not a sound database is set aside under another name, never deleted, and a new one is begun;
- where no file can be written, memscope runs on with a database in memory, and says so once.

All access goes through `Database.transaction`, which serialises the threads of one process; other processes are
kept out by SQLite's own locks (WAL, a busy timeout).
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from memscope.errors import StoreError

__all__ = ["SCHEMA_VERSION", "Database"]

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE scores (
    key BLOB PRIMARY KEY,          -- see memscope.store.scores
    total REAL NOT NULL,           -- nats
    tokens BLOB NOT NULL,          -- float32, log-probability of each token in nats
    used INTEGER NOT NULL          -- unix seconds, for eviction
) WITHOUT ROWID;
CREATE INDEX scores_used ON scores (used);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE decisions (response TEXT PRIMARY KEY, verdict TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE alternates (key BLOB PRIMARY KEY, ids BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE shipments (
    key TEXT PRIMARY KEY,          -- the Idempotency-Key it is sent under
    state TEXT NOT NULL,           -- see memscope.store.ledger
    owner TEXT NOT NULL,           -- the process that is sending it
    url TEXT NOT NULL,
    model TEXT NOT NULL,
    session TEXT NOT NULL,
    context TEXT NOT NULL,         -- with or without memories
    created REAL NOT NULL,         -- unix seconds
    job TEXT,
    error TEXT,
    proof TEXT                     -- JSON: divergences before and after
) WITHOUT ROWID;
CREATE TABLE samples (
    shipment TEXT NOT NULL REFERENCES shipments (key),
    response TEXT NOT NULL,
    position INTEGER NOT NULL,     -- index of the response in the matrix when it was sent
    divergence REAL,               -- nats, all memories stripped
    PRIMARY KEY (shipment, response)
) WITHOUT ROWID;
CREATE INDEX samples_response ON samples (response);
CREATE TABLE memories (
    model TEXT NOT NULL,
    key TEXT NOT NULL,
    weight REAL NOT NULL,          -- nats, moving average
    last_scored REAL NOT NULL,     -- unix seconds
    times INTEGER NOT NULL,
    PRIMARY KEY (model, key)
) WITHOUT ROWID;
"""

_TABLES = frozenset(re.findall(r"CREATE TABLE (\w+)", _SCHEMA))

_BUSY_SECONDS = 10.0
_CHECKED_BYTES = 64 * 2**20
"""Larger files are not checked when they are opened: it would be felt."""


class Database:
    """An open state database.

    Attributes:
        path: The file, or None for a database in memory.
        notes: One line each: what the user should know about how it was opened.
    """

    def __init__(self, folder: Path | None) -> None:
        """Open the database in `folder`; None keeps everything in memory.

        Raises:
            StoreError: It was written by a newer memscope.
        """
        self.notes: list[str] = []
        self._lock = threading.RLock()
        self.path = folder / "memscope.db" if folder else None
        self._connection = self._open()

    @contextlib.contextmanager
    def transaction(self, *, immediate: bool = False) -> Iterator[sqlite3.Connection]:
        """Give the connection for one atomic change.

        Args:
            immediate: Take the write lock at once and let the change reach the disk before it counts as done: for
                marks that must not be lost, and for changes that read first.

        Raises:
            StoreError: The change could not be written; nothing of it was.
        """
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if immediate else 'NORMAL'}")
                self._connection.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
                try:
                    yield self._connection
                except BaseException:
                    if self._connection.in_transaction:  # SQLite takes some changes back by itself
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise StoreError(f"state database {self.path or 'in memory'}: {error}") from error

    def close(self) -> None:
        """Close the database; nothing of it can be used afterwards."""
        with self._lock:
            self._connection.close()

    def _open(self) -> sqlite3.Connection:
        path = self.path
        if path is None:
            return _connect(":memory:")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return _connect_patiently(path)
        except (OSError, sqlite3.OperationalError) as error:
            return self._in_memory(path, error)
        except sqlite3.DatabaseError as error:
            return self._set_aside(path, error)

    def _set_aside(self, path: Path, error: Exception) -> sqlite3.Connection:
        aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**6}")
        try:
            for suffix in ("", "-wal", "-shm"):
                part = path.with_name(path.name + suffix)
                if part.exists():
                    part.rename(aside.with_name(aside.name + suffix))
            connection = _connect(path)
        except (OSError, sqlite3.Error) as trouble:
            return self._in_memory(path, trouble)
        self.notes.append(f"state database {path} is damaged ({error}); set aside as {aside.name}, a new one begun")
        return connection

    def _in_memory(self, path: Path, error: Exception) -> sqlite3.Connection:
        self.path = None
        self.notes.append(
            f"state folder {path.parent} cannot be used ({error}): running without cache, nothing will be remembered"
        )
        return _connect(":memory:")


def _connect_patiently(path: Path) -> sqlite3.Connection:
    """Connect; wait where another memscope is just making the file, which SQLite itself does not wait for."""
    give_up = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return _connect(path)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
        time.sleep(0.02)


def _connect(target: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(target, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        _check_sound(connection)
        _prepare(connection, target)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_sound(connection: sqlite3.Connection) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    if pages * page_bytes <= _CHECKED_BYTES:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)


def _prepare(connection: sqlite3.Connection, target: Path | str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{target}: written by a newer memscope (schema {version}, this one knows {SCHEMA_VERSION}); "
                "update memscope, or name another folder with --state"
            )
        if version == 0:
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if missing := sorted(_TABLES - there):
            raise sqlite3.DatabaseError(f"it has no table {missing[0]}")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
