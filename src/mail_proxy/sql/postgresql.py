"""Adapter of PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import orjson
from sqlalchemy import Connection, Engine, create_engine, event, exc

from mail_proxy.errors import (
    ConfigError,
    DatabaseDamaged,
    DatabaseFull,
    DatabaseLocked,
    DatabaseUnavailable,
)
from mail_proxy.sql import postgresql_driver, postgresql_programs
from mail_proxy.sql.adapter import (
    LOCK_SECONDS,
    READ_BYTES,
    Progress,
    Shape,
    first_line,
    for_one_row,
    parsed_url,
)
from mail_proxy.sql.transactions import PooledTransactions, Transactions


class PostgresAdapter:
    """Adapter of PostgreSQL 13 or newer, with psycopg 3; several hosts may share it."""

    name = "postgresql"
    folder: Path | None = None
    is_new = False
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

    #: INSERT cannot return the columns of ``rows``; its table has one of the same name.
    _KEY_OF: ClassVar[dict[str, str]] = {"INSERT": "", "UPDATE": "rows."}

    def __init__(self, url: str, lock_seconds: float = LOCK_SECONDS) -> None:
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise ConfigError(
                "db_path is a postgresql:// URL; install genro-mail-proxy[postgresql]"
            ) from None
        self._url = parsed_url(url).set(drivername="postgresql+psycopg")
        self._lock_seconds = lock_seconds
        shown = self._url.set(drivername="postgresql", password=None, query={})
        self.place = shown.render_as_string()

    def writing_turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def transactions(self) -> tuple[Transactions, Transactions]:
        reading = self._engine(self.readers, isolation_level="REPEATABLE READ")
        return PooledTransactions(self._engine(self.writers)), PooledTransactions(reading)

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

    def execute(
        self, connection: Connection, statement: str, parameters: Sequence[Any]
    ) -> list[Any]:
        result = connection.exec_driver_sql(statement, tuple(parameters))
        return list(result.fetchall()) if result.returns_rows else []

    def rows(self, shape: Shape, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any]]]:
        # One JSON text for each column. The driver takes thirty times as long to write an array,
        # and holds the interpreter lock meanwhile.
        columns = [orjson.dumps(column).decode() for column in zip(*rows, strict=True)]
        if columns:
            yield _rows(tuple(shape)), columns

    def insert_rows(
        self, connection: Connection, table: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> None:
        names = ", ".join(name for name, _ in shape)
        for expression, columns in self.rows(shape, rows):
            statement = f"WITH {expression} INSERT INTO {table} ({names}) SELECT {names} FROM rows"
            connection.exec_driver_sql(statement, tuple(columns))

    def insert_large(
        self,
        connection: Connection,
        table: str,
        shape: Shape,
        row: Sequence[Any],
        pieces: Sequence[bytes | bytearray],
    ) -> None:
        postgresql_driver.copy_large(connection, table, shape, row, pieces)

    def read_large(self, connection: Connection, table: str, column: str, pk: str) -> bytearray:
        # ``OFFSET 0`` keeps the text from being decompressed again for each piece.
        result = connection.exec_driver_sql(
            "SELECT substring(whole.octets FROM 1 + n * %s FOR %s) "
            f"FROM (SELECT convert_to({column}, 'UTF8') AS octets FROM {table} "
            "WHERE pk = %s::uuid OFFSET 0) AS whole, "
            "generate_series(0, octet_length(whole.octets) / %s) AS n ORDER BY n",
            (READ_BYTES, READ_BYTES, pk, READ_BYTES),
        )
        text = bytearray()
        while (row := result.fetchone()) is not None:
            text += row[0]
        return text

    def change_rows(
        self, connection: Connection, statement: str, shape: Shape, rows: Sequence[Sequence[Any]]
    ) -> set[Any]:
        key = shape[0][0]
        if len(rows) == 1:
            # Values cost less than arrays of one value: in the driver, and in the server.
            one = for_one_row(statement, tuple(shape), "%({name})s::{kind}")
            values = dict(zip((name for name, _ in shape), rows[0], strict=True))
            result = connection.exec_driver_sql(one, values)
            return {rows[0][0]} if result.rowcount > 0 else set()
        found: set[Any] = set()
        for expression, columns in self.rows(shape, rows):
            text = f"WITH {expression} {statement} RETURNING {self._KEY_OF[statement[:6]]}{key}"
            found |= {row[0] for row in connection.exec_driver_sql(text, tuple(columns))}
        return found

    def first_of_each(
        self, table: str, where: str, order_by: str, limit: int, *, waits: bool = False
    ) -> str:
        lock = "FOR UPDATE" if waits else "FOR UPDATE SKIP LOCKED"
        return (
            f"FROM rows CROSS JOIN LATERAL (SELECT candidate.* FROM {table} AS candidate "
            f"WHERE {where} ORDER BY {order_by} LIMIT {limit} {lock}) AS {table}"
        )

    def trouble(self, error: exc.DBAPIError) -> DatabaseUnavailable | None:
        reason = first_line(error)
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

    def server_time(self, connection: Connection) -> float | None:
        statement = "SELECT extract(epoch FROM clock_timestamp())"
        return float(self.execute(connection, statement, ())[0][0])

    def find_damage(self, connection: Connection) -> str | None:
        return None

    def dump(self, file: Path, progress: Progress) -> None:
        postgresql_programs.dump(self._url, file)

    def load(self, file: Path) -> None:
        postgresql_programs.load(self._url, file)

    def lock_schema(self, connection: Connection) -> None:
        # An index of a large table takes long to build, and so may another process that migrates.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (self._SCHEMA_LOCK,))


@cache
def _rows(shape: tuple[tuple[str, str], ...]) -> str:
    """Return the common table expression ``rows`` over one JSON array for each column."""
    names = ", ".join(name for name, _ in shape)
    values = ", ".join(f"{name}::{kind}" for name, kind in shape)
    arrays = ", ".join("json_array_elements_text(%s::json)" for _ in shape)
    return f"rows({names}) AS (SELECT {values} FROM ROWS FROM ({arrays}) AS stored({names}))"
