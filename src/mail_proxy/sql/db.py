"""Database transactions: engines, connections, and the threads that they run on.

A transaction is a plain function that gets a connection and runs on a database thread from
BEGIN to COMMIT. It cannot await, so no transaction stays open during a network call. It costs one
switch between threads, for any number of statements.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, exc

from mail_proxy.errors import ConstraintViolated, DatabaseUnavailable
from mail_proxy.sql.adapters import LOCK_SECONDS, Adapter, Shape, adapter_for
from mail_proxy.sql.availability import Availability
from mail_proxy.sql.group_commit import GroupCommitter
from mail_proxy.sql.transactions import Transactions

Result = TypeVar("Result")
#: Counts that a transaction collects and writes last.
Tally = Counter[Any]
_ATTEMPTS = 5
#: Key in ``Connection.info`` of the tallies of the transaction that runs now.
_TALLIES = "tallies"
__all__ = ["Connection", "SqlDb"]


class SqlDb:
    """Database, with threads of its own for writes and reads.

    No call waits without end: neither a lock of another process or session nor a free thread is
    waited for longer than ``lock_seconds``.
    """

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        """Open nothing yet; raise ConfigError for a URL that cannot be used."""
        self.adapter: Adapter = adapter_for(url, lock_seconds)
        self.availability = Availability()
        self._lock_seconds = lock_seconds
        self._proof: asyncio.Task[None] | None = None
        self._writing, self._reading = self.adapter.transactions()
        # With one writer at a time, the transactions that wait for it share one commit.
        self._group = GroupCommitter(self.write_now) if self.adapter.writers == 1 else None
        self._writers = ThreadPoolExecutor(self.adapter.writers, "db-write")
        self._readers = ThreadPoolExecutor(self.adapter.readers, "db-read")

    async def write(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``work(connection, *arguments)`` in a transaction; return after the commit.

        ``work`` may run more than once (serialization failures, a pooled connection that the
        server had closed, another transaction of its group that failed), so it must have no effects
        outside of the transaction. Cancelling the caller does not undo it. Raises
        DatabaseUnavailable for trouble that may pass.
        """
        if self._group is not None:
            result: Result = await self._group.run(work, arguments)
            return result
        return await self._run(self._writers, self.write_now, work, arguments)

    async def read(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``work(connection, *arguments)`` on one consistent snapshot.

        Reads and writes do not wait for each other.
        """
        return await self._run(self._readers, self.read_now, work, arguments)

    def write_now(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Write on the calling thread, as ``write`` does. For start and command line."""
        with self.availability.watching_write(), self.adapter.writing_turn():
            return self._attempt(self._writing, partial(_with_tallies, work), arguments)

    def read_now(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Read on the calling thread, as ``read`` does."""
        with self.availability.watching_read():
            return self._attempt(self._reading, work, arguments)

    async def check(self) -> None:
        """Raise DatabaseUnavailable if this process knows that the database fails.

        It writes only if it has neither failed nor written in the last seconds, and once for all
        callers that wait.
        """
        if self.availability.needs_proof:
            if self._proof is None or self._proof.done():
                self._proof = asyncio.create_task(self._prove())
            await asyncio.shield(self._proof)
        self.availability.raise_trouble()

    async def _prove(self) -> None:
        with suppress(DatabaseUnavailable):  # ``availability`` has it
            await self.write(self.adapter.prove_writable)

    async def close(self) -> None:
        """Finish the running transactions and close every connection."""
        if self._group is not None:
            await asyncio.to_thread(self._group.close)
        for executor in (self._writers, self._readers):
            await asyncio.to_thread(executor.shutdown)
        self.dispose()

    def renew_connections(self) -> None:
        """Close the connections that are not in use, with their caches.

        Others open on demand. A prepared statement of SQLite keeps its last parameters, which may
        be a large mail.
        """
        self.dispose()

    def dispose(self) -> None:
        """Close every connection. No transaction may run any more."""
        self._writing.close()
        self._reading.close()

    async def _run(
        self,
        executor: ThreadPoolExecutor,
        run: Callable[..., Result],
        work: Callable[..., Result],
        arguments: tuple[Any, ...],
    ) -> Result:
        loop = asyncio.get_running_loop()
        run_here = contextvars.copy_context().run  # log lines name the request
        latest = time.monotonic() + self._lock_seconds

        def begin() -> Result:
            if time.monotonic() > latest:
                # The calls before it wait for a lock, and so would this one.
                raise DatabaseUnavailable("every connection to the database is busy")
            return run(work, *arguments)

        return await loop.run_in_executor(executor, run_here, begin)

    def _attempt(
        self, transactions: Transactions, work: Callable[..., Result], arguments: tuple[Any, ...]
    ) -> Result:
        for attempt in range(1, _ATTEMPTS + 1):
            committing = False
            try:
                with transactions.begin() as connection:
                    result = work(connection, *arguments)
                    committing = True
                return result
            except exc.IntegrityError as error:
                raise ConstraintViolated("the change collides with another one") from error
            except exc.DBAPIError as error:
                stale = error.connection_invalidated and not committing and attempt == 1
                if attempt < _ATTEMPTS and (stale or self.adapter.is_retryable(error)):
                    continue
                trouble = self.adapter.trouble(error)
                if trouble is None:
                    raise
                raise trouble from error
            except exc.TimeoutError as error:
                raise DatabaseUnavailable("no free database connection") from error
        raise AssertionError("unreachable")

    def tally(self, connection: Connection, write: Callable[[Connection, Tally], None]) -> Tally:
        """Return the tally of this writing transaction that ``write`` stores at its end.

        So all transactions of a group commit share one ``write``. Locks that it takes are the last
        ones, which no other transaction waits for while this one waits for it.
        """
        tallies: dict[Any, Tally] = connection.info.setdefault(_TALLIES, {})
        return tallies.setdefault(write, Counter())

    def execute_rows(
        self, connection: Connection, statement: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """Run one statement over many rows: ``WITH rows(...) AS (...) <statement>``.

        ``statement`` reads from ``rows`` and has no parameters of its own. Returns what its
        SELECT or RETURNING gave.
        """
        found: list[Any] = []
        for expression, parameters in self.adapter.rows(shape, rows):
            found += self.adapter.execute(connection, f"WITH {expression} {statement}", parameters)
        return found

    def insert_rows(
        self, connection: Connection, table: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> None:
        """Insert many rows into ``table``."""
        self.adapter.insert_rows(connection, table, shape, rows)

    def insert_large(
        self,
        connection: Connection,
        table: str,
        shape: Shape,
        row: Sequence[Any],
        pieces: Sequence[bytes | bytearray],
    ) -> None:
        """Insert a row of texts whose last column is given as pieces of UTF-8."""
        self.adapter.insert_large(connection, table, shape, row, pieces)

    def read_large(self, connection: Connection, table: str, column: str, pk: str) -> bytearray:
        """Return the UTF-8 of a text, read in pieces; empty if there is no such row."""
        return self.adapter.read_large(connection, table, column, pk)

    def change_rows(
        self, connection: Connection, statement: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> set[Any]:
        """Run an INSERT or UPDATE for many rows; return the keys of those it changed.

        The key is the first column of a row. INSERT has the form ``INSERT INTO table (columns)
        SELECT rows.column, ... FROM rows WHERE ...``. UPDATE reads ``FROM rows`` and matches at
        most one row of the table for each of ``rows``. Neither has RETURNING, and both name the
        columns as ``rows.column``.
        """
        return self.adapter.change_rows(connection, statement, shape, rows)


def _with_tallies(work: Callable[..., Result], connection: Connection, *arguments: Any) -> Result:
    """Run ``work``, then store the tallies that it has filled."""
    connection.info.pop(_TALLIES, None)  # those of a transaction that failed
    result = work(connection, *arguments)
    for write, tally in connection.info.pop(_TALLIES, {}).items():
        write(connection, tally)
    return result
