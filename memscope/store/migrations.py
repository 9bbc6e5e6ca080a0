"""The schema of the state database, as a ladder of steps: each takes a database from one version to the next.

A new database climbs the same ladder, so there is no second description of the schema. A step is one transaction: a
process that is killed in the middle of one leaves the version before it whole. A step that has been released is never
edited; a change of the schema is a new step at the end.
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

# Dropped: `memories`, whose rows were found by the model's name and the memory's key alone, so that other weights under
# the same name, another agent, or a memory whose text had changed showed numbers that were not theirs; which rows are
# right cannot be told. Dropped: the rows of `scores`, which can be computed again: their keys lacked the dialect, and
# some models were scored wrongly. Everything that a user decided, set or sent stays.
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
    """Return the version of a database; 0 for an empty one. Reads only the file's header, whatever the schema is.

    Raises:
        sqlite3.DatabaseError: The file is no database, or memscope did not make it.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version < 0:
        raise sqlite3.DatabaseError(f"it has schema version {version}")
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Take a database to the newest version, one transaction a step. Several processes may do so at once.

    Args:
        connection: In autocommit mode (`isolation_level=None`), to a database of the newest version or an older one.

    Raises:
        sqlite3.Error: A step failed; the database is at the version before it.
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
    version = schema_version(connection)  # again, under the lock: another process may have climbed meanwhile
    if version < SCHEMA_VERSION:
        for statement in _statements(_STEPS[version]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1}")


def _statements(script: str) -> Iterator[str]:
    return (statement for statement in script.split(";\n") if statement.strip())
