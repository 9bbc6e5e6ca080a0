"""The training ledger: what was sent to training, and the outcome.

A shipment is one training request with one or more responses. Its states:

    prepared -> sent -> accepted -> succeeded
                  |         `----> failed       (the job failed: its responses may be sent again)
                  |-> failed                    (the server refused it)
                  `-> in doubt                  (the response was lost)

`sent` is recorded before the first byte is sent, and `accepted` only with the server's job id, so that after a kill at
any moment the state is either correct or *in doubt*. A response counts as trained from `accepted` on. A response that
is being sent, trained or in doubt is not sent again unless the user insists, so two processes never both send it.
Two processes that follow the same job may both record the same outcome.

All methods wait for the disk; code on an event loop calls them through `Database.run`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from memscope.errors import TrainingError
from memscope.store.database import Database

__all__ = ["EMBEDDED", "Ledger", "Sample", "Shipment", "ShipmentState", "TrainingMark", "marks_of"]

ShipmentState: TypeAlias = Literal["prepared", "sent", "accepted", "succeeded", "failed", "in doubt"]
TrainingMark: TypeAlias = Literal["sending", "trained", "in doubt"]
"""The training status of a response."""

EMBEDDED = "embedded scorer "
"""Prefix of the URL of an embedded scorer, whose jobs are lost when its memscope exits."""

_MARKS: dict[str, TrainingMark] = {
    "prepared": "sending",
    "sent": "sending",
    "accepted": "trained",
    "succeeded": "trained",
    "in doubt": "in doubt",
}


class Sample(msgspec.Struct, frozen=True):
    """One response of a shipment: its identity, its index in the matrix, its strip-all divergence in nats."""

    response: str
    position: int
    divergence: float | None


class Shipment(msgspec.Struct, frozen=True):
    """One request to a training server, as recorded in the ledger.

    Attributes:
        key: The Idempotency-Key.
        state: Its state.
        url: The URL it is sent to.
        model: The model to train.
        session: Id of the session.
        context: "with" or "without" memories in the context.
        created: Creation time in Unix seconds.
        job: The server's job id, once accepted.
        error: Why it failed or is in doubt.
        proof: Divergences before and after training, once measured.
        samples: The responses.
    """

    key: str
    state: ShipmentState
    url: str
    model: str
    session: str
    context: str
    created: float
    job: str | None
    error: str | None
    proof: Mapping[str, Any] | None
    samples: tuple[Sample, ...]


class Ledger:
    """The `shipments` and `samples` tables. Every change is on disk before its method returns.

    Every method raises StoreError if the database cannot be read or written.

    Attributes:
        database: The database with the tables.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._owner = f"{os.getpid()}:{_process_start(os.getpid())}"

    def prepare(
        self, url: str, model: str, session: str, context: str, samples: Sequence[Sample], *, again: bool = False
    ) -> str:
        """Create a shipment and return its Idempotency-Key.

        Raises:
            TrainingError: A response is being sent, trained or in doubt, and `again` is not set.
        """
        key = str(uuid.uuid4())
        with self.database.transaction(immediate=True) as connection:
            if not again:
                _refuse_marked(connection, samples)
            connection.execute(
                "INSERT INTO shipments VALUES (?, 'prepared', ?, ?, ?, ?, ?, ?, NULL, NULL, NULL)",
                (key, self._owner, url, model, session, context, time.time()),
            )
            connection.executemany(
                "INSERT INTO samples VALUES (?, ?, ?, ?)",
                [(key, sample.response, sample.position, sample.divergence) for sample in samples],
            )
        return key

    def check(self, samples: Sequence[Sample]) -> None:
        """Check whether responses may be sent, as `prepare` does.

        Raises:
            TrainingError: A response is being sent, trained or in doubt.
        """
        with self.database.transaction() as connection:
            _refuse_marked(connection, samples)

    def discard(self, key: str) -> None:
        """Delete a prepared shipment: none of it was sent."""
        with self.database.transaction(immediate=True) as connection:
            _discard(connection, key, "prepared")

    def withdraw(self, key: str) -> None:
        """Delete a shipment whose request was never sent, even if it is marked as sent."""
        with self.database.transaction(immediate=True) as connection:
            _discard(connection, key, "prepared")
            _discard(connection, key, "sent")

    def mark_sent(self, key: str) -> None:
        """Record that the request is about to be sent."""
        self._move(key, "sent", ("prepared", "in doubt"))

    def mark_accepted(self, key: str, job: str) -> None:
        """Record the server's job id; the responses count as trained from now on."""
        self._move(key, "accepted", ("sent", "in doubt", "accepted"), job=job)

    def mark_succeeded(self, key: str) -> None:
        """Record that the job succeeded."""
        self._move(key, "succeeded", ("accepted", "succeeded"))

    def mark_failed(self, key: str, error: str) -> None:
        """Record that the request was refused or the job failed; its responses may be sent again."""
        self._move(key, "failed", ("sent", "accepted", "in doubt", "failed"), error=error)

    def mark_in_doubt(self, key: str, error: str) -> None:
        """Record that it is unknown whether the server accepted the request."""
        self._move(key, "in doubt", ("sent",), error=error)

    def save_proof(self, key: str, proof: Mapping[str, Any]) -> None:
        """Store the divergences before and after training with the shipment."""
        with self.database.transaction(immediate=True) as connection:
            connection.execute(
                "UPDATE shipments SET proof = ? WHERE key = ?", (msgspec.json.encode(proof).decode(), key)
            )

    def marks(self, responses: Sequence[str]) -> dict[str, TrainingMark]:
        """Return the mark of each response that has one: the strongest among its shipments."""
        with self.database.transaction() as connection:
            return _marks(connection, responses)

    def shipments(self, session: str | None = None) -> tuple[Shipment, ...]:
        """Return all shipments, or those of one session, oldest first."""
        where, values = ("", ()) if session is None else ("WHERE session = ?", (session,))
        return self._read(where, values)

    def shipment(self, key: str) -> Shipment | None:
        """Return one shipment; None if there is no such key."""
        return next(iter(self._read("WHERE key = ?", (key,))), None)

    def _read(self, where: str, values: Sequence[str]) -> tuple[Shipment, ...]:
        with self.database.transaction() as connection:
            rows = connection.execute(
                "SELECT key, state, url, model, session, context, created, job, error, proof "  # noqa: S608
                f"FROM shipments {where} ORDER BY created, key",
                values,
            ).fetchall()
            return tuple(_shipment(connection, row) for row in rows)

    def settle(self) -> tuple[Shipment, ...]:
        """Update the shipments of processes that have ended, and return every shipment in doubt.

        A prepared shipment is deleted: none of it was sent. A sent one without an answer is in doubt. A job that an
        embedded scorer had not finished has failed: its weights are lost.
        """
        with self.database.transaction(immediate=True) as connection:
            open_ones = connection.execute(
                "SELECT key, state, owner, url FROM shipments "
                "WHERE state IN ('prepared', 'sent', 'accepted', 'in doubt')"
            ).fetchall()
            for key, state, owner, url in open_ones:
                if owner == self._owner or _alive(owner):
                    continue
                if state == "prepared":
                    _discard(connection, key, "prepared")
                elif url.startswith(EMBEDDED):
                    _conclude(connection, key, "failed", "the embedded scorer stopped before the job ended")
                elif state == "sent":
                    _conclude(connection, key, "in doubt", "memscope exited before the server answered")
        return tuple(shipment for shipment in self.shipments() if shipment.state == "in doubt")

    def _move(
        self,
        key: str,
        state: ShipmentState,
        allowed: Sequence[str],
        *,
        job: str | None = None,
        error: str | None = None,
    ) -> None:
        with self.database.transaction(immediate=True) as connection:
            row = connection.execute("SELECT state FROM shipments WHERE key = ?", (key,)).fetchone()
            if row is None or row[0] not in allowed:
                raise TrainingError(f"shipment {key} is {row[0] if row else 'unknown'} and cannot become {state}")
            connection.execute(
                "UPDATE shipments SET state = ?, owner = ?, job = COALESCE(?, job), error = ? WHERE key = ?",
                (state, self._owner, job, error, key),
            )


def _refuse_marked(connection: sqlite3.Connection, samples: Sequence[Sample]) -> None:
    marks = _marks(connection, [sample.response for sample in samples])
    for sample in samples:
        if mark := marks.get(sample.response):
            known = {"sending": "being sent by another process", "trained": "already trained", "in doubt": "in doubt"}
            raise TrainingError(
                f"response {sample.position} is {known[mark]}: nothing was sent; --again sends it anyway"
            )


def marks_of(states: Iterable[tuple[str, str]]) -> dict[str, TrainingMark]:
    """Return the mark of each response: the strongest of all its shipments.

    Args:
        states: Pairs of a response and the state of a shipment that it belongs to.
    """
    strength = ["sending", "in doubt", "trained"]
    marks: dict[str, TrainingMark] = {}
    for response, state in states:
        if mark := _MARKS.get(state):
            marks[response] = max(mark, marks.get(response, mark), key=strength.index)
    return marks


def _marks(connection: sqlite3.Connection, responses: Sequence[str]) -> dict[str, TrainingMark]:
    rows = connection.execute("SELECT response, state FROM shipments JOIN samples ON shipment = key")
    known = marks_of(rows)
    return {response: known[response] for response in responses if response in known}


def _conclude(connection: sqlite3.Connection, key: str, state: ShipmentState, why: str) -> None:
    connection.execute("UPDATE shipments SET state = ?, error = ? WHERE key = ?", (state, why, key))


def _discard(connection: sqlite3.Connection, key: str, state: ShipmentState) -> None:
    chosen = "SELECT key FROM shipments WHERE key = ? AND state = ?"
    connection.execute(f"DELETE FROM samples WHERE shipment IN ({chosen})", (key, state))  # noqa: S608
    connection.execute("DELETE FROM shipments WHERE key = ? AND state = ?", (key, state))


def _shipment(connection: sqlite3.Connection, row: Sequence[Any]) -> Shipment:
    samples = connection.execute(
        "SELECT response, position, divergence FROM samples WHERE shipment = ? ORDER BY position", (row[0],)
    )
    key, state, url, model, session, context, created, job, error, proof = row
    kept = msgspec.json.decode(proof) if proof else None
    parts = tuple(Sample(*sample) for sample in samples)
    return Shipment(key, state, url, model, session, context, created, job, error, kept, parts)


def _alive(owner: str) -> bool:
    pid, _, start = owner.partition(":")
    return _process_start(int(pid)) == start


def _process_start(pid: int) -> str:
    """Return an identifier that distinguishes a process from a later one with the same id; "" if there is none.

    It is the start time in clock ticks if /proc has it, or else only says whether the id is in use.
    """
    with contextlib.suppress(OSError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else fields[18]  # a zombie counts as ended
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return "running"
    return "running"
