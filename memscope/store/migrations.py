"""The schema of the state database as a sequence of migrations, each from one version to the next.

A new database runs the same migrations, so there is no second description of the schema. Each migration is one
transaction: if the process is killed, the database stays at the version before. A released migration is never edited;
a schema change is a new migration at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

__all__ = ["SCHEMA_VERSION", "TABLES", "migrate", "schema_version"]

_VERSION_1 = """
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

# Drops `memories`: its rows were keyed by model name and memory key alone, so other weights under the same name,
# another agent, or a changed text got numbers that were not theirs, and correct rows cannot be told from wrong ones.
# Drops the rows of `scores`, which can be recomputed: their keys lacked the dialect, and some models were scored
# wrongly. Everything that a user decided, set or sent is kept.
_VERSION_2 = """
DROP TABLE IF EXISTS memories;
CREATE TABLE importance (
    weights TEXT NOT NULL,         -- identity of the scorer's weights
    agent TEXT NOT NULL,           -- whose memory it is
    key TEXT NOT NULL,
    text TEXT NOT NULL,            -- hash of what the memory says
    weight REAL NOT NULL,          -- nats, moving average
    last_scored REAL NOT NULL,     -- unix seconds
    times INTEGER NOT NULL,
    PRIMARY KEY (weights, agent, key, text)
) WITHOUT ROWID;
DROP TABLE IF EXISTS scores;
CREATE TABLE scores (
    key BLOB PRIMARY KEY,          -- see memscope.store.scores
    total REAL NOT NULL,           -- nats
    tokens BLOB NOT NULL,          -- float32, log-probability of each token in nats
    used INTEGER NOT NULL          -- unix seconds, for eviction
) WITHOUT ROWID;
CREATE INDEX scores_used ON scores (used);
"""

_STEPS = (_VERSION_1, _VERSION_2)
"""`_STEPS[n]` takes a database from version n to version n + 1."""

SCHEMA_VERSION = len(_STEPS)

TABLES = frozenset(("scores", "settings", "decisions", "alternates", "shipments", "samples", "importance"))
"""The tables of the newest version."""


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the version of a database; 0 for an empty one. Reads only the file header, independent of the schema.

    Raises:
        sqlite3.DatabaseError: The file is not a database, or was not created by memscope.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version < 0:
        raise sqlite3.DatabaseError(f"it has schema version {version}")
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate a database to the newest version, one transaction per step. Several processes may do this at once.

    Args:
        connection: A connection in autocommit mode (`isolation_level=None`) to a database that is not newer.

    Raises:
        sqlite3.Error: A migration failed; the database is at the version before it.
    """
    while schema_version(connection) < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _apply_next_step(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _apply_next_step(connection: sqlite3.Connection) -> None:
    version = schema_version(connection)  # again, under the lock: another process may have migrated it meanwhile
    if version < SCHEMA_VERSION:
        for statement in _statements(_STEPS[version]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")


def _statements(script: str) -> Iterator[str]:
    return (statement for statement in script.split(";\n") if statement.strip())
