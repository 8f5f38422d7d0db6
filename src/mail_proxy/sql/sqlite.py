"""Adapter of SQLite."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import NullPool

from mail_proxy.errors import (
    ConfigError,
    Conflict,
    DatabaseDamaged,
    DatabaseFull,
    DatabaseLocked,
    DatabaseUnavailable,
)
from mail_proxy.sql import sqlite_driver
from mail_proxy.sql.adapter import (
    LOCK_SECONDS,
    Progress,
    Shape,
    first_line,
    for_one_row,
    parsed_url,
)
from mail_proxy.sql.sqlite_driver import KeptTransactions
from mail_proxy.sql.transactions import Transactions
from mail_proxy.sql.writing_turn import WritingTurn


class SqliteAdapter:
    """Adapter of SQLite: one file in WAL mode, each commit synced, one writer."""

    name = "sqlite"
    has_notify = False
    writers = 1
    readers = 4

    #: SQLITE_MAX_VARIABLE_NUMBER is 32 766 since 3.32.
    _MOST_VARIABLES = 32_000
    _LARGEST_SLICE = 512
    #: Octets that are checked for damage in a few seconds.
    _LARGEST_CHECKED = 1_000_000_000
    #: A short statement for each row costs SQLite less than one that joins them. But each gives up
    #: the interpreter lock, and gets it back late if there are many.
    _MOST_ONE_BY_ONE = 32

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        address = parsed_url(url)
        if address.host:
            raise ConfigError(
                "db_path = sqlite:...: three slashes are needed, as in sqlite:///path"
            )
        self._path = address.database or ""
        if not self._path or self._path == ":memory:":
            raise ConfigError(f"db_path = {url!r}: a file is needed; memory is not durable")
        self.place = str(Path(self._path).absolute())
        self.folder: Path | None = Path(self._path).absolute().parent
        if not self.folder.is_dir():
            raise ConfigError(f"db_path = {self._path!r}: its folder does not exist")
        self.is_new = not Path(self._path).exists()
        if self.is_new:
            # SQLite would create it readable for all users. Its -wal and -shm files get its mode.
            Path(self._path).touch(mode=0o600)
        # Half of the time for the turn, half for SQLite's own lock.
        self._lock_seconds = lock_seconds / 2
        self._turn = WritingTurn(f"{self._path}-turn", self._lock_seconds)

    def writing_turn(self) -> AbstractContextManager[None]:
        return self._turn.held()

    def transactions(self) -> tuple[Transactions, Transactions]:
        wait = self._lock_seconds * 2
        return (
            KeptTransactions(self._engine(), "BEGIN IMMEDIATE", self.writers, wait),
            KeptTransactions(self._engine(), "BEGIN", self.readers, wait),
        )

    def _engine(self) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "isolation_level": None,
                "check_same_thread": False,
                "timeout": self._lock_seconds,
                "cached_statements": 256,
            },
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
            for pragma in (
                # Of a new file only. In 4 kB, a mail of 2 kB would leave the rest unused.
                "page_size = 8192",
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                "cache_size = -32000",
                "temp_store = MEMORY",
                "journal_size_limit = 67108864",
            ):
                connection.execute(f"PRAGMA {pragma}")

        return engine

    def execute(
        self, connection: Connection, statement: str, parameters: Sequence[Any]
    ) -> list[Any]:
        return sqlite_driver.execute(connection, statement, parameters)

    def rows(self, shape: Shape, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        names = ", ".join(name for name, _ in shape)
        one = "(" + ",".join("?" * len(shape)) + ")"
        most = min(self._LARGEST_SLICE, self._MOST_VARIABLES // len(shape))
        start, size = 0, most
        while start < len(rows):
            # Halving slices: ten statement texts serve every length, so they stay prepared.
            while size > len(rows) - start:
                size //= 2
            values = ",".join([one] * size)
            flat = [value for row in rows[start : start + size] for value in row]
            yield f"rows({names}) AS (VALUES {values})", flat
            start += size

    def insert_rows(
        self, connection: Connection, table: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> None:
        names = ", ".join(name for name, _ in shape)
        if len(rows) > self._MOST_ONE_BY_ONE:
            for expression, values in self.rows(shape, rows):
                statement = f"INSERT INTO {table} ({names}) SELECT {names} FROM rows"
                sqlite_driver.execute(connection, f"WITH {expression} {statement}", values)
            return
        places = ",".join("?" * len(shape))
        statement = f"INSERT INTO {table} ({names}) VALUES ({places})"
        sqlite_driver.execute_each(connection, statement, rows)

    def insert_large(
        self,
        connection: Connection,
        table: str,
        shape: Shape,
        row: Sequence[Any],
        pieces: Sequence[bytes | bytearray],
    ) -> None:
        columns = [name for name, _ in shape]
        sqlite_driver.insert_large(connection, table, columns, row, pieces)

    def read_large(self, connection: Connection, table: str, column: str, pk: str) -> bytearray:
        return sqlite_driver.read_large(connection, table, column, pk)

    def change_rows(
        self, connection: Connection, statement: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> set[Any]:
        if len(rows) <= self._MOST_ONE_BY_ONE:
            one = for_one_row(statement, tuple(shape), "?{number}")
            return sqlite_driver.change_each(connection, one, rows)
        found: set[Any] = set()
        for expression, values in self.rows(shape, rows):
            text = f"WITH {expression} {statement} RETURNING {shape[0][0]}"
            found |= {row[0] for row in sqlite_driver.execute(connection, text, values)}
        return found

    def first_of_each(
        self, table: str, where: str, order_by: str, limit: int, *, waits: bool = False
    ) -> str:
        # There is one writing connection, so no locks are needed.
        return (
            f"FROM rows CROSS JOIN {table} ON {table}.pk IN (SELECT candidate.pk "
            f"FROM {table} AS candidate WHERE {where} ORDER BY {order_by} LIMIT {limit})"
        )

    def trouble(self, error: exc.DBAPIError) -> DatabaseUnavailable | None:
        reason = first_line(error)
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return DatabaseDamaged(
                f"{self._path} is damaged ({reason}): stop the service and restore a backup of "
                f"this file, or save its rows: sqlite3 {self._path} .recover | sqlite3 new.db"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return DatabaseLocked(f"another process holds the write lock of {self._path}")
        if code == sqlite3.SQLITE_FULL:
            return DatabaseFull(f"{reason}: {self._path}")
        return (
            DatabaseUnavailable(reason)
            if isinstance(error.orig, sqlite3.OperationalError)
            else None
        )

    def prove_writable(self, connection: Connection) -> None:
        # A number in the file's first page that SQLite keeps for the application.
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {(found + 1) % 1_000_000}")

    def is_retryable(self, error: exc.DBAPIError) -> bool:
        return False

    def notify(self, connection: Connection, text: str) -> None:
        raise NotImplementedError("SQLite has no NOTIFY")

    def listen(self) -> AsyncIterator[str]:
        raise NotImplementedError("SQLite has no LISTEN")

    def server_time(self, connection: Connection) -> float | None:
        return None

    def find_damage(self, connection: Connection) -> str | None:
        if Path(self._path).stat().st_size > self._LARGEST_CHECKED:
            return None
        found = self.execute(connection, "PRAGMA quick_check(1)", ())[0][0]
        return None if found == "ok" else str(found)

    def dump(self, file: Path, progress: Progress) -> None:
        try:
            sqlite_driver.copy_file(self._path, file, progress)
        except sqlite3.Error as error:
            raise DatabaseUnavailable(f"{self._path} cannot be copied: {error}") from error

    def load(self, file: Path) -> None:
        if Path(self._path).stat().st_size:
            raise Conflict(f"{self._path} is not empty")
        with file.open("rb") as source, Path(self._path).open("wb") as target:
            shutil.copyfileobj(source, target)

    def lock_schema(self, connection: Connection) -> None:
        """Do nothing: BEGIN IMMEDIATE already holds the one write lock."""
