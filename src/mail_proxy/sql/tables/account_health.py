"""Table of paused accounts: those in trouble, and when each is tried again."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, delete, func, select, text, update

from mail_proxy.domain.account import pause_seconds
from mail_proxy.sql import conditions, schema
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
        return self.of_tenants(connection, [tenant_id])

    def of_tenants(self, connection: Connection, tenant_ids: Sequence[str]) -> dict[str, Row]:
        """Return the accounts in trouble of these tenants, by pk."""
        h, account = schema.account_health, schema.account
        owned = select(account.c.pk).where(account.c.tenant_id.in_(tenant_ids))
        rows = connection.execute(select(h).where(h.c.account_pk.in_(owned)))
        return {row.account_pk: dict(row._mapping) for row in rows}

    def described(self, connection: Connection, tenant_id: str | None, limit: int) -> list[Row]:
        """Return accounts in trouble with id and tenant, the longest in trouble first.

        Of one tenant or, with None, of all.
        """
        h, account = schema.account_health, schema.account
        found = (
            select(account.c.pk, account.c.id, account.c.tenant_id, h.c.last_error, h.c.since_at)
            .join_from(h, account, h.c.account_pk == account.c.pk)
            .where(account.c.deleted_at.is_(None))
            .order_by(h.c.since_at, account.c.pk)
            .limit(limit)
        )
        if tenant_id is not None:
            found = found.where(account.c.tenant_id == tenant_id)
        return [dict(row._mapping) for row in connection.execute(found)]

    def count(self, connection: Connection, tenant_id: str | None) -> tuple[int, int]:
        """Return the number of accounts, and of those in trouble.

        Of one tenant or, with None, of all.
        """
        h, account = schema.account_health, schema.account
        found = (
            select(func.count(), func.count(h.c.account_pk))
            .join_from(account, h, h.c.account_pk == account.c.pk, isouter=True)
            .where(account.c.deleted_at.is_(None))
        )
        if tenant_id is not None:
            found = found.where(account.c.tenant_id == tenant_id)
        total, troubled = connection.execute(found).one()
        return int(total), int(troubled)

    def among(self, connection: Connection, account_pks: Sequence[str]) -> dict[str, Row]:
        """Return those of the accounts that are in trouble, by pk."""
        h = schema.account_health
        rows = connection.execute(select(h).where(h.c.account_pk.in_(account_pks)))
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

    def resume(self, connection: Connection, account_pk: str) -> bool:
        """End the account's pause at once; return False if it was not paused."""
        ended = delete(schema.account_health).where(
            schema.account_health.c.account_pk == account_pk
        )
        return connection.execute(ended).rowcount == 1

    def probe_now(self, connection: Connection, tenant_id: str | None, now: float) -> None:
        """Try each paused account of a tenant, or with None of all, again at once.

        One message of each account tries it, as after a pause that has ended.
        """
        h, account = schema.account_health.c, schema.account.c
        paused: ColumnElement[bool] = h.retry_at > now
        if tenant_id is not None:
            owned = select(account.pk).where(account.tenant_id == tenant_id)
            paused = paused & h.account_pk.in_(owned)
        connection.execute(update(schema.account_health).where(paused).values(retry_at=now))

    def waiting(self, connection: Connection, account_pk: str, now: float) -> int:
        """Return how many messages of the account are due and not held."""
        m = schema.message.c
        due = text(conditions.ready()), m.account_pk == account_pk, m.due_at <= now
        counted = select(func.count()).select_from(schema.message).where(*due)
        return int(connection.execute(counted).scalar_one())

    def heal(self, connection: Connection, account_pk: str) -> float | None:
        """End the account's pause: it works again, or was saved with new settings.

        Returns since when it was in trouble, None if it was not.
        """
        h = schema.account_health
        ended = delete(h).where(h.c.account_pk == account_pk).returning(h.c.since_at)
        return connection.execute(ended).scalar()
