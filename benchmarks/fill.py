"""Fills the database of a stopped instance with messages, accounts and tenants, directly.

    python -m benchmarks.fill ~/.mail-proxy/NAME/mail_service.db --waiting 100000 --finished 100000

The instance must have been started once, because the tables are its own: only rows are made
here, with the same statements for SQLite and PostgreSQL.
"""

import argparse
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.messages import body_text

_STEP = 250_000
_DAY = 86_400.0
#: Finished messages are this old at most; those beyond the proxy's week are given apart.
_HISTORY_SECONDS = 6 * _DAY
_EXPIRED_SECONDS = 8 * _DAY
#: Made by ``make_batches``.
ONE_BATCH, FAILED_BATCH = "one-batch", "failed-batch"
_FILLED = ("message", "message_payload", "message_event")


@dataclass(frozen=True)
class Size:
    """How much of everything. ``expired`` are finished messages more, reported 8 days ago;
    ``senders`` of the accounts have the waiting messages, which are due in ``due_in`` seconds."""

    waiting: int = 1_000_000
    finished: int = 5_000_000
    expired: int = 0
    tenants: int = 1_000
    accounts: int = 10_000
    senders: int = 10_000
    body_bytes: int = 300
    due_in: float = 0.0
    smtp_port: int = 25


class _Database(Protocol):
    def run(self, statement: str) -> None: ...

    def indexes(self) -> dict[str, str]:
        """Name and statement of the indexes of the filled tables that are no constraints."""

    def hex(self, number: str) -> str:
        """Twelve hexadecimal digits of an expression."""

    def uuid(self, text: str) -> str: ...


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for pragma in ("synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")

    def run(self, statement: str) -> None:
        self._connection.execute(statement)

    def indexes(self) -> dict[str, str]:
        statement = (
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL "
            f"AND tbl_name IN {_FILLED}"
        )
        return dict(self._connection.execute(statement).fetchall())

    def hex(self, number: str) -> str:
        return f"printf('%012x', {number})"

    def uuid(self, text: str) -> str:
        return text


class _Postgres:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        # Its own foreign keys are looked up row by row otherwise; ours are right.
        self.run("SET session_replication_role = replica")
        self.run("SET maintenance_work_mem = '1GB'")
        self.run("SET synchronous_commit = off")

    def run(self, statement: str) -> None:
        self._connection.execute(statement)

    def indexes(self) -> dict[str, str]:
        statement = (
            f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN {_FILLED} "
            "AND indexname LIKE 'ix_%'"
        )
        return dict(self._connection.execute(statement).fetchall())

    def hex(self, number: str) -> str:
        return f"lpad(to_hex({number}), 12, '0')"

    def uuid(self, text: str) -> str:
        return f"CAST({text} AS uuid)"


def fill(database: str, size: Size) -> None:
    """Fill an empty SQLite file (a path) or a PostgreSQL database (a URL)."""
    with _opened(database) as target:
        _Filling(target, size).run()


def make_due(database: str, seconds: float) -> None:
    """Move everything that waits so many seconds into the past."""
    with _opened(database) as target:
        target.run(f"UPDATE message SET due_at = due_at - {seconds} WHERE state = 'pending'")


def make_batches(database: str) -> None:
    """Put all that waits into one batch; what is finished has failed, in another."""
    with _opened(database) as target:
        target.run(f"UPDATE message SET batch_code = '{ONE_BATCH}' WHERE state = 'pending'")
        failed = f"batch_code = '{FAILED_BATCH}', state = 'error'"
        target.run(f"UPDATE message SET {failed} WHERE state = 'sent'")


@contextlib.contextmanager
def _opened(database: str) -> Iterator[_Database]:
    if not database.startswith("postgresql://"):
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            target = _Sqlite(connection)
            yield target
            target.run("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        yield _Postgres(connection)
        connection.execute("VACUUM ANALYZE")


class _Filling:
    def __init__(self, target: _Database, size: Size) -> None:
        self._target = target
        self._size = size
        self._now = time.time()

    def run(self) -> None:
        indexes = self._target.indexes()
        for name in indexes:
            self._target.run(f"DROP INDEX {name}")
        self._tenants()
        self._accounts()
        size = self._size
        history = _HISTORY_SECONDS / max(1, size.finished)
        finished_since = self._now - _HISTORY_SECONDS - 3600
        begin = self._now - _EXPIRED_SECONDS
        self._messages(0, size.expired, "sent", f"{begin} + i * 0.001", size.accounts)
        first, end = size.expired, size.expired + size.finished
        created = f"{finished_since} + (i - {first}) * {history}"
        self._messages(first, end, "sent", created, size.accounts)
        created = f"{self._now - 3600} + (i - {end}) * 0.001"
        senders = min(size.senders, size.accounts)
        self._messages(end, end + size.waiting, "pending", created, senders)
        for statement in indexes.values():
            self._target.run(statement)

    def _tenants(self) -> None:
        self._target.run(
            f"{_numbers(1, self._size.tenants)} INSERT INTO tenant (id, name, created_at, "
            f"updated_at) SELECT {_tenant('i')}, 'Tenant ' || i, {self._now}, {self._now} FROM n"
        )

    def _accounts(self) -> None:
        row = {
            "pk": self._account_pk("i"),
            "tenant_id": _tenant(f"i % {self._size.tenants}"),
            "id": "'a' || i",
            "host": "'127.0.0.1'",
            "port": str(self._size.smtp_port),
            "tls": "'none'",
            "verify_cert": "true",
            "allow_insecure_auth": "false",
            "ttl_seconds": "300",
            "limit_behavior": "'defer'",
            "is_default": f"i < {self._size.tenants}",
            "is_pec_account": "false",
            "created_at": str(self._now),
            "updated_at": str(self._now),
        }
        self._insert("account", row, 0, self._size.accounts)

    def _messages(self, first: int, end: int, state: str, created: str, accounts: int) -> None:
        for low in range(first, end, _STEP):
            self._slice(low, min(end, low + _STEP), state, created, accounts)

    def _slice(self, low: int, high: int, state: str, created: str, accounts: int) -> None:
        waits = state == "pending"
        tenant = _tenant(f"i % {accounts} % {self._size.tenants}")
        pk = self._pk(f"CAST(floor(({created}) * 1000) AS bigint)", "i")
        row = {
            "pk": pk,
            "tenant_id": tenant,
            "id": "'filled-' || i",
            "account_pk": self._account_pk(f"i % {accounts}"),
            "state": f"'{state}'",
            "priority": "2",
            "due_at": f"{created} + {self._size.due_in if waits else 0}",
            "created_at": created,
            "size": str(self._size.body_bytes + 300),
            "batch_code": "CASE WHEN i % 10 = 0 THEN 'batch-' || (i / 100000) END",
            "state_at": "NULL" if waits else f"{created} + 1",
        }
        self._insert("message", row, low, high)
        self._insert("message_payload", {"pk": pk, **self._payload()}, low, high)
        event = {
            "message_pk": pk,
            "tenant_id": tenant,
            "event_type": "'queued'",
            "event_at": created,
            "data": "'{}'",
        }
        self._insert("message_event", event, low, high)
        if not waits:
            told = {"event_type": "'sent'", "reported_at": f"{created} + 2"}
            self._insert("message_event", event | told, low, high)

    def _payload(self) -> dict[str, str]:
        body = body_text(self._size.body_bytes).replace("\n", "\\n")
        parts = (
            '{"sender":{"name":"Benchmark","email":"bench@example.com"},'
            '"to":[{"name":"","email":"user',
            '@example.org"}],"cc":[],"bcc":[],"subject":"Filled ',
            f'","body":"{body}","content_type":"plain","message_id":"<filled-',
            '@example.com>","body_html":null,"reply_to":[],"return_path":null,"headers":[]}',
        )
        return {
            "recipients": "'user' || i || '@example.org'",
            "subject": "'Filled ' || i",
            "content": " || i || ".join(f"'{part}'" for part in parts),
        }

    def _insert(self, table: str, row: dict[str, str], low: int, high: int) -> None:
        self._target.run(
            f"{_numbers(low, high)} INSERT INTO {table} ({', '.join(row)}) "
            f"SELECT {', '.join(row.values())} FROM n"
        )

    def _account_pk(self, number: str) -> str:
        return self._pk(str(int((self._now - 30 * _DAY) * 1000)), number)

    def _pk(self, milliseconds: str, number: str) -> str:
        """A UUID version 7 whose random part is the number."""
        stamp = self._target.hex(milliseconds)
        text = f"substr({stamp}, 1, 8) || '-' || substr({stamp}, 9, 4) || '-7000-8000-' || "
        return self._target.uuid(f"({text}{self._target.hex(number)})")


def _numbers(low: int, high: int) -> str:
    return (
        f"WITH RECURSIVE n(i) AS (SELECT {low} WHERE {low} < {high} "
        f"UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {high})"
    )


def _tenant(number: str) -> str:
    return f"CASE {number} WHEN 0 THEN 'default' ELSE 't' || ({number}) END"


def main(arguments: list[str] | None = None) -> None:
    defaults = Size()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=__doc__)
    parser.add_argument("database", help="a path, or postgresql://...")
    for name, value in vars(defaults).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value, help=f"({value})")
    given = vars(parser.parse_args(arguments))
    database = given.pop("database")
    started = time.monotonic()
    fill(database, Size(**given))
    print(f"filled in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
