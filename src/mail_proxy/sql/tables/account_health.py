"""Table of paused accounts: those in trouble, and when each is tried again."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, func, select, update

from mail_proxy.domain.account import pause_seconds
from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.table import Row

_HEALTH: Shape = (
    ("account_pk", "uuid"),
    ("failures", "integer"),
    ("last_error", "text"),
    ("since_at", "double precision"),
    ("retry_at", "double precision"),
)


class AccountHealthTable:
    """Table with a row for each account in trouble; a healthy account has none."""

    def __init__(self, db: SqlDb) -> None:
        self._db = db

    def troubled(self, connection: Connection) -> set[str]:
        """Return all accounts in trouble."""
        return set(connection.execute(select(schema.account_health.c.account_pk)).scalars())

    def of_accounts(self, connection: Connection, account_pks: Collection[str]) -> dict[str, Row]:
        """Return those of the accounts that are in trouble, by pk."""
        h = schema.account_health
        rows = connection.execute(select(h).where(h.c.account_pk.in_(account_pks)))
        return {row.account_pk: dict(row._mapping) for row in rows}

    def next_retry_at(self, connection: Connection, after: float) -> float | None:
        """Return when the next account in trouble is tried again, later than ``after``."""
        retry_at = schema.account_health.c.retry_at
        found = select(func.min(retry_at)).where(retry_at > after)
        return connection.execute(found).scalar()

    def of_tenant(self, connection: Connection, tenant_id: str) -> dict[str, Row]:
        """Return the tenant's accounts in trouble, by pk."""
        h, account = schema.account_health, schema.account
        owned = select(account.c.pk).where(account.c.tenant_id == tenant_id)
        rows = connection.execute(select(h).where(h.c.account_pk.in_(owned)))
        return {row.account_pk: dict(row._mapping) for row in rows}

    def begin_probe(self, connection: Connection, account_pk: str, until: float) -> None:
        """Pause the account ``until`` then, while one message of its queue probes it."""
        h = schema.account_health
        connection.execute(update(h).where(h.c.account_pk == account_pk).values(retry_at=until))

    def trouble(
        self, connection: Connection, account_pk: str, error: str, now: float, *, probe: bool
    ) -> Row:
        """Pause the account, longer with each failed ``probe``; return its row.

        Several messages that fail at the same time count as one failure.
        """
        h = schema.account_health
        first: Row = {
            "account_pk": account_pk,
            "failures": 1,
            "last_error": error,
            "since_at": now,
            "retry_at": now + pause_seconds(1),
        }
        # Two messages may fail at the same time, on two connections or two hosts, while a third
        # one heals the account. So a single statement finds or inserts the row and locks it.
        (found,) = self._db.execute_rows(
            connection,
            "INSERT INTO account_health (account_pk, failures, last_error, since_at, retry_at) "
            "SELECT account_pk, failures, last_error, since_at, retry_at FROM rows WHERE true "
            "ON CONFLICT (account_pk) DO UPDATE SET last_error = excluded.last_error "
            "RETURNING account_pk, failures, last_error, since_at, retry_at",
            _HEALTH,
            [tuple(first.values())],
        )
        row: Row = dict(zip(first, found, strict=True))
        if row != first and (probe or row["retry_at"] <= now):
            failures = row["failures"] + 1
            row.update(failures=failures, retry_at=now + pause_seconds(failures))
            connection.execute(update(h).where(h.c.account_pk == account_pk).values(row))
        return row

    def heal(self, connection: Connection, account_pk: str) -> None:
        """End the account's pause: it works again, or was saved with new settings."""
        h = schema.account_health
        connection.execute(delete(h).where(h.c.account_pk == account_pk))
