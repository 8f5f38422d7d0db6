"""Adapters for SQLite and PostgreSQL: everything that differs between the two."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Protocol

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from mail_proxy.errors import (
    ConfigError,
    DatabaseDamaged,
    DatabaseFull,
    DatabaseLocked,
    DatabaseUnavailable,
)
from mail_proxy.sql.writing_turn import WritingTurn

#: Name and PostgreSQL type of each column of a list of rows.
Shape = Sequence[tuple[str, str]]
#: Longest wait for a lock. No transaction of the proxy holds one for so long, except a migration.
#: One of another program may, and so may a process that was stopped in the middle of one.
LOCK_SECONDS = 10.0


class Adapter(Protocol):
    """Adapter of a database product.

    ``writers`` and ``readers`` are the numbers of transactions of each kind that may run at once.
    ``has_notify``: several hosts may share the database, and notify each other.
    """

    name: str
    has_notify: bool
    writers: int
    readers: int
    #: Where the data is, if it is on a disk of this machine's.
    folder: Path | None

    def engines(self) -> tuple[Engine, Engine]:
        """Return an engine for writing and one for reading."""
        ...

    def writing_turn(self) -> AbstractContextManager[None]:
        """Take turns with other processes of this machine around a writing transaction."""
        ...

    def rows(self, shape: Shape, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        """Yield common table expressions ``rows(...)`` over the rows, with parameters.

        One statement over many rows makes both databases fast, and releases the interpreter lock
        once instead of once for each row.
        """
        ...

    def first_of_each(
        self, table: str, where: str, order_by: str, limit: int, *, waits: bool = False
    ) -> str:
        """Return a FROM clause: for each of ``rows`` the first ``limit`` of ``table``.

        The rows are locked. In ``where`` and ``order_by`` a row of the table is ``candidate``. Rows
        that another transaction has locked are skipped; with ``waits`` they are waited for.
        ``table`` must have the key ``pk``.
        """
        ...

    def trouble(self, error: exc.DBAPIError) -> DatabaseUnavailable | None:
        """Return an error if connection, disk or a lock is the cause, not the statement."""
        ...

    def prove_writable(self, connection: Connection) -> None:
        """Write a few bytes without a meaning, and take the locks that every write needs."""
        ...

    def is_retryable(self, error: exc.DBAPIError) -> bool:
        """Return whether the whole transaction should run again at once."""
        ...

    def notify(self, connection: Connection, text: str) -> None:
        """Send NOTIFY to every listener at the commit. Only with ``has_notify``."""
        ...

    def listen(self) -> AsyncIterator[str]:
        """Yield notifications from now on, over a connection of its own.

        Only with ``has_notify``. Raises DatabaseUnavailable when the connection is lost.
        """
        ...

    def lock_schema(self, connection: Connection) -> None:
        """Lock out other processes that migrate, until the transaction ends."""
        ...


class SqliteAdapter:
    """Adapter of SQLite: one file in WAL mode, each commit synced, one writer."""

    name = "sqlite"
    has_notify = False
    writers = 1
    readers = 4

    #: SQLITE_MAX_VARIABLE_NUMBER is 32 766 since 3.32.
    _MOST_VARIABLES = 32_000
    _LARGEST_SLICE = 512

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        address = _parsed(url)
        if address.host:
            raise ConfigError(
                "db_path = sqlite:...: three slashes are needed, as in sqlite:///path"
            )
        self._path = address.database or ""
        if not self._path or self._path == ":memory:":
            raise ConfigError(f"db_path = {url!r}: a file is needed; memory is not durable")
        self.folder: Path | None = Path(self._path).absolute().parent
        if not self.folder.is_dir():
            raise ConfigError(f"db_path = {self._path!r}: its folder does not exist")
        if not Path(self._path).exists():
            # SQLite would create it readable for all users. Its -wal and -shm files get its mode.
            Path(self._path).touch(mode=0o600)
        # Half of the time for the turn, half for SQLite's own lock.
        self._lock_seconds = lock_seconds / 2
        self._turn = WritingTurn(f"{self._path}-turn", self._lock_seconds)

    def writing_turn(self) -> AbstractContextManager[None]:
        return self._turn.held()

    def engines(self) -> tuple[Engine, Engine]:
        return self._engine("BEGIN IMMEDIATE", 1), self._engine("BEGIN", self.readers)

    def _engine(self, begin: str, connections: int) -> Engine:
        engine = create_engine(
            f"sqlite:///{self._path}",
            poolclass=QueuePool,
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._lock_seconds * 2,
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
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                "cache_size = -32000",
                "temp_store = MEMORY",
                "journal_size_limit = 67108864",
            ):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return engine

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

    def first_of_each(
        self, table: str, where: str, order_by: str, limit: int, *, waits: bool = False
    ) -> str:
        # There is one writing connection, so no locks are needed.
        return (
            f"FROM rows CROSS JOIN {table} ON {table}.pk IN (SELECT candidate.pk "
            f"FROM {table} AS candidate WHERE {where} ORDER BY {order_by} LIMIT {limit})"
        )

    def trouble(self, error: exc.DBAPIError) -> DatabaseUnavailable | None:
        reason = _first_line(error)
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

    def lock_schema(self, connection: Connection) -> None:
        """Do nothing: BEGIN IMMEDIATE already holds the one write lock."""


class PostgresAdapter:
    """Adapter of PostgreSQL 13 or newer, with psycopg 3; several hosts may share it."""

    name = "postgresql"
    folder: Path | None = None
    has_notify = True
    writers = 4
    readers = 4

    #: The queue's statements take the first rows of an index. If statistics say that few rows
    #: match, the planner would rather read all of them from a bitmap and sort them: a million, if
    #: an account has so many. JIT compilation takes longer than any of the statements runs.
    _PLANNER = "-c enable_bitmapscan=off -c jit=off"
    _SCHEMA_LOCK = 7_302_646_113
    _CHANNEL = "mail_proxy"
    #: connection_exception, transaction_rollback, insufficient_resources, lock_not_available,
    #: operator_intervention, system_error, and read-only replicas.
    _PASSING = ("08", "40", "53", "55P03", "57", "58", "25006")
    #: lock_not_available, disk_full, data_corrupted, index_corrupted.
    _KINDS: ClassVar[dict[str, type[DatabaseUnavailable]]] = {
        "55P03": DatabaseLocked,
        "53100": DatabaseFull,
        "XX001": DatabaseDamaged,
        "XX002": DatabaseDamaged,
    }
    #: The last one ends a transaction whose process or host has stopped while it holds locks.
    _TIMEOUTS = "-c statement_timeout=120000 -c idle_in_transaction_session_timeout=60000"
    #: Every write of a message needs one of these tables.
    _WRITTEN = "instance, tenant, account, message, message_payload, message_event"
    #: The connection to a host that vanished is given up after a minute, not after a quarter of an
    #: hour. Milliseconds for unacknowledged octets; seconds and tries for an idle connection.
    _SILENCE: ClassVar[dict[str, Any]] = {
        "tcp_user_timeout": 60_000,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    #: serialization_failure, deadlock_detected.
    _RETRYABLE = ("40001", "40P01")

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise ConfigError(
                "db_path is a postgresql:// URL; install genro-mail-proxy[postgresql]"
            ) from None
        self._url = _parsed(url).set(drivername="postgresql+psycopg")
        self._lock_seconds = lock_seconds

    def writing_turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def engines(self) -> tuple[Engine, Engine]:
        reading = self._engine(self.readers, isolation_level="REPEATABLE READ")
        return self._engine(self.writers), reading

    def _engine(self, connections: int, **more: Any) -> Engine:
        engine = create_engine(
            self._url,
            hide_parameters=True,
            pool_size=connections,
            max_overflow=0,
            pool_use_lifo=True,
            connect_args={
                "connect_timeout": 10,
                "application_name": "mail-proxy",
                "options": f"{self._TIMEOUTS} -c lock_timeout={round(self._lock_seconds * 1000)} "
                f"{self._PLANNER}",
                **self._SILENCE,
            },
            **more,
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            from psycopg.types.string import TextLoader

            connection.adapters.register_loader("uuid", TextLoader)

        return engine

    def rows(self, shape: Shape, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        names = ", ".join(name for name, _ in shape)
        arrays = ", ".join(f"%s::{kind}[]" for _, kind in shape)
        columns = [list(column) for column in zip(*rows, strict=True)]
        if columns:
            yield f"rows({names}) AS (SELECT * FROM unnest({arrays}))", columns

    def first_of_each(
        self, table: str, where: str, order_by: str, limit: int, *, waits: bool = False
    ) -> str:
        lock = "FOR UPDATE" if waits else "FOR UPDATE SKIP LOCKED"
        return (
            f"FROM rows CROSS JOIN LATERAL (SELECT candidate.* FROM {table} AS candidate "
            f"WHERE {where} ORDER BY {order_by} LIMIT {limit} {lock}) AS {table}"
        )

    def trouble(self, error: exc.DBAPIError) -> DatabaseUnavailable | None:
        reason = _first_line(error)
        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            # An error of the driver. A lost connection is an OperationalError; a value that the
            # driver cannot send is not.
            is_lost = isinstance(error, exc.OperationalError | exc.InterfaceError)
            return DatabaseUnavailable(reason) if is_lost else None
        if state in self._KINDS:
            return self._KINDS[state](reason)
        is_passing = error.connection_invalidated or state.startswith(self._PASSING)
        return DatabaseUnavailable(reason) if is_passing else None

    def prove_writable(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"LOCK TABLE {self._WRITTEN} IN ROW EXCLUSIVE MODE")
        connection.exec_driver_sql("UPDATE instance SET name = name")

    def is_retryable(self, error: exc.DBAPIError) -> bool:
        return getattr(error.orig, "sqlstate", None) in self._RETRYABLE

    def notify(self, connection: Connection, text: str) -> None:
        connection.exec_driver_sql("SELECT pg_notify(%s, %s)", (self._CHANNEL, text))

    async def listen(self) -> AsyncIterator[str]:
        import psycopg

        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            connection = await psycopg.AsyncConnection.connect(
                url, autocommit=True, connect_timeout=10, **self._SILENCE
            )
            async with connection:
                await connection.execute(f"LISTEN {self._CHANNEL}")
                async for notification in connection.notifies():
                    yield notification.payload
        except psycopg.OperationalError as error:
            raise DatabaseUnavailable("the connection for LISTEN was lost") from error

    def lock_schema(self, connection: Connection) -> None:
        # An index of a large table takes long to build, and so may another process that migrates.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (self._SCHEMA_LOCK,))


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except (exc.ArgumentError, ValueError):
        # The URL is not shown: there may be a password in it.
        raise ConfigError(
            "db_path: not a URL; allowed: postgresql://user:password@host:port/database, with %40 "
            "for @, %2F for / and %3A for : in the password"
        ) from None


def _first_line(error: exc.DBAPIError) -> str:
    return next(iter(str(error.orig).strip().splitlines()), "database error")


def adapter_for(url: str, lock_seconds: float = LOCK_SECONDS) -> Adapter:
    """Return the adapter for a ``sqlite:///`` or ``postgresql://`` URL.

    Raises ConfigError for any other URL.
    """
    scheme = url.split(":", 1)[0]
    if scheme == "sqlite":
        return SqliteAdapter(url, lock_seconds)
    if scheme == "postgresql":
        return PostgresAdapter(url, lock_seconds)
    raise ConfigError(f"db_path = {scheme}:...: allowed: a path, sqlite:///path, postgresql://")
