"""The state database: one SQLite file, shared between threads and processes.

All access goes through `Database.transaction`, which serialises the threads of a process; other processes are locked
out by SQLite (WAL mode with a busy timeout). Waiting for such a lock can take seconds, so code on an event loop never
opens a transaction itself: it passes its work to `Database.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from memscope.errors import StoreError
from memscope.store.opening import open_database

__all__ = ["Database"]

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """An open state database.

    Attributes:
        path: The database file; None for a database in memory.
        notes: Messages to the user about how it was opened, one line each.
    """

    def __init__(self, folder: Path | None) -> None:
        """Open the database in `folder`; None uses a database in memory.

        Raises:
            StoreError: It was written by a newer memscope.
        """
        opened = open_database(folder)
        self.path, self.notes = opened.path, opened.notes
        self._connection = opened.connection
        self._lock = threading.RLock()
        self._worker = ThreadPoolExecutor(1, "memscope-database")
        self._listeners: list[Callable[[StoreError], None]] = []
        self._seen = self._data_version()

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function that uses the database, without blocking the event loop.

        Calls run on one thread, in order. A call that has been submitted runs even if its caller is cancelled
        meanwhile.

        Args:
            work: A blocking function, such as a method of `Ledger`.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Returns:
            The result of the function; its exceptions are re-raised here.
        """
        return await asyncio.shield(self._hand_over(lambda: work(*args, **kwargs)))

    def write_later(self, work: Callable[[], None]) -> None:
        """Queue a write without waiting for it; listeners are called if it fails.

        Outside an event loop, the write is done immediately.

        Raises:
            StoreError: There is no event loop, and the write failed.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            work()
        else:
            self._hand_over(work).add_done_callback(self._report)

    def listen(self, callback: Callable[[StoreError], None]) -> Callable[[], None]:
        """Call back on the event loop whenever a queued write fails. Returns a function that stops this."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def changed_elsewhere(self) -> bool:
        """Return whether another process changed the database since the last call, or since it was opened.

        Raises:
            StoreError: The database cannot be read.
        """
        before, self._seen = self._seen, self._data_version()
        return self._seen != before

    @contextlib.contextmanager
    def transaction(self, *, immediate: bool = False) -> Iterator[sqlite3.Connection]:
        """Open a transaction and yield its connection.

        Args:
            immediate: Take the write lock at once and sync the change to disk: for marks that must not be lost, and
                for changes that read first.

        Raises:
            StoreError: The change failed and was rolled back.
        """
        with self._lock:
            try:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if immediate else 'NORMAL'}")
                self._connection.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
                try:
                    yield self._connection
                except BaseException:
                    if self._connection.in_transaction:  # SQLite rolls back after some errors by itself
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise StoreError(f"state database {self.path or 'in memory'}: {error}") from error

    def close(self) -> None:
        """Finish queued writes and close the database; it cannot be used afterwards."""
        self._worker.shutdown()
        with self._lock:
            self._connection.close()

    def _data_version(self) -> int:
        with self._lock:
            try:
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error as error:
                raise StoreError(f"state database {self.path or 'in memory'}: {error}") from error

    def _hand_over(self, work: Callable[[], T]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[T] = loop.create_future()

        def finish(done: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed, so nobody is waiting
                loop.call_soon_threadsafe(_pass_on, done, waiting)

        self._worker.submit(work).add_done_callback(finish)
        return waiting

    def _report(self, written: asyncio.Future[None]) -> None:
        error = written.exception()
        if isinstance(error, StoreError):
            for listener in tuple(self._listeners):
                listener(error)
        elif error is not None:
            raise error


def _pass_on(done: Future[T], waiting: asyncio.Future[T]) -> None:
    if (error := done.exception()) is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(done.result())
