"""Statements and transactions on SQLite's driver, without SQLAlchemy.

SQLAlchemy takes more time for a small statement, and for a small transaction, than SQLite does.
Errors are SQLAlchemy's all the same.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, exc

from mail_proxy.sql.adapter import READ_BYTES, Progress

Pieces = Sequence[bytes | bytearray]
#: Pages that are copied before the progress is shown: 8 MB.
_PAGES = 1000


def execute(connection: Connection, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Run a statement; return the rows of SELECT or RETURNING."""
    try:
        return _driver(connection).execute(statement, parameters).fetchall()
    except sqlite3.Error as error:
        raise _wrapped(error, statement) from error


def execute_each(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement without result for each of ``rows``."""
    try:
        _driver(connection).executemany(statement, rows)
    except sqlite3.Error as error:
        raise _wrapped(error, statement) from error


def change_each(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> set[Any]:
    """Run a statement for each row; return the first value of those that changed one."""
    try:
        cursor = _driver(connection).cursor()
        return {row[0] for row in rows if cursor.execute(statement, row).rowcount > 0}
    except sqlite3.Error as error:
        raise _wrapped(error, statement) from error


def insert_large(
    connection: Connection, table: str, columns: Sequence[str], row: Sequence[Any], text: Pieces
) -> None:
    """Insert a row whose last column is a text in pieces.

    A text that is bound to a statement is copied with the interpreter lock held. Blob I/O works on
    texts as well.
    """
    places = ",".join("?" * len(row))
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}, CAST(zeroblob(?) AS TEXT))"
    )
    driver = _driver(connection)
    try:
        inserted = driver.execute(statement, (*row, sum(map(len, text))))
        with driver.blobopen(table, columns[-1], cast(int, inserted.lastrowid)) as blob:
            for piece in text:
                blob.write(piece)
    except sqlite3.Error as error:
        raise _wrapped(error, statement) from error


def read_large(connection: Connection, table: str, column: str, pk: str) -> bytearray:
    """Return the UTF-8 of a text, read in pieces; empty if there is no such row."""
    text = bytearray()
    for (rowid,) in execute(connection, f"SELECT rowid FROM {table} WHERE pk = ?", (pk,)):
        try:
            with _driver(connection).blobopen(table, column, rowid, readonly=True) as blob:
                while piece := blob.read(READ_BYTES):
                    text += piece
        except sqlite3.Error as error:
            raise _wrapped(error, f"read {table}.{column}") from error
    return text


def copy_file(path: str, target: Path, progress: Progress) -> None:
    """Copy a database into a new file, in one state, while others read and write.

    The transaction that stays open keeps that state, so that no write makes the copy start over.
    """
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(
            copy, pages=_PAGES, progress=lambda _, left, pages: progress(pages - left, pages)
        )
        # The copy is one file: no -wal and -shm next to it.
        copy.execute("PRAGMA journal_mode = DELETE")


class KeptTransactions:
    """Transactions on connections that stay open; the driver begins and commits them.

    For SQLAlchemy each of these connections is in one transaction for ever.
    """

    def __init__(self, engine: Engine, begin: str, most: int, wait_seconds: float) -> None:
        """Keep at most ``most`` connections; ``begin`` is the statement that begins."""
        self._engine = engine
        self._begin = begin
        self._wait_seconds = wait_seconds
        self._free = threading.Semaphore(most)
        self._idle: list[Connection] = []

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if not self._free.acquire(timeout=self._wait_seconds):
            raise exc.TimeoutError("every connection is in use")
        try:
            connection = self._take()
            try:
                execute(connection, self._begin)
                yield connection
                execute(connection, "COMMIT")
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        self._engine.dispose()

    def _take(self) -> Connection:
        try:
            return self._idle.pop()  # no look before: another thread may take the last one
        except IndexError:
            return self._connect()

    def _connect(self) -> Connection:
        connection = self._engine.connect()
        connection.begin()
        return connection

    def _put_back(self, connection: Connection) -> None:
        """Keep the connection; roll back what an error has left uncommitted."""
        if not connection.invalidated and _driver(connection).in_transaction:
            _roll_back(connection)
        if connection.invalidated:
            connection.close()
        else:
            self._idle.append(connection)


def _roll_back(connection: Connection) -> None:
    try:
        _driver(connection).rollback()
    except sqlite3.Error as error:
        connection.invalidate(error)


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def _wrapped(error: sqlite3.Error, statement: str) -> BaseException:
    wrapped = exc.DBAPIError.instance(
        statement, None, error, dbapi_base_err=sqlite3.Error, hide_parameters=True
    )
    return cast(BaseException, wrapped)
