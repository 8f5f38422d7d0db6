"""Table of each tenant's report calls: next due time, back-off, claim."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, case, or_, select, text, update

from mail_proxy.sql import conditions, schema
from mail_proxy.sql.messages.events import FRESH_REPORTABLE, PUT_OFF_REPORTABLE
from mail_proxy.sql.table import EVERY_TENANT, Row, Table

#: ``idle_calls`` of a tenant that added messages while a call was in flight.
HANDED_OVER = -1

_HAS_REPORTS = (
    "(EXISTS (SELECT 1 FROM message_event AS e "
    f"WHERE {FRESH_REPORTABLE} AND e.tenant_id = tenant.id) OR "
    "EXISTS (SELECT 1 FROM message_event AS e "
    f"WHERE {PUT_OFF_REPORTABLE} AND e.tenant_id = tenant.id))"
)
_DUE = text(
    "SELECT tenant.id FROM tenant LEFT JOIN tenant_sync AS sync ON sync.tenant_id = tenant.id "
    "WHERE (:everyone OR tenant.client_base_url <> '') "
    "AND (sync.claimed_by IS NULL OR sync.claimed_until < :now) "
    "AND (coalesce(sync.next_due_at, 0) <= :now AND tenant.active "
    "AND coalesce(sync.quiet_until, 0) <= :now "
    "OR (coalesce(sync.next_due_at, 0) <= :now OR coalesce(sync.failures, 0) = 0) "
    f"AND {_HAS_REPORTS}) "
    "ORDER BY coalesce(sync.failures, 0), coalesce(sync.next_due_at, 0), tenant.id"
)
#: The first entry of an index for each tenant.
_OLDEST_REPORT = text(
    "SELECT min((SELECT e.event_at FROM message_event AS e "
    f"WHERE {conditions.FRESH} AND e.tenant_id = tenant.id ORDER BY e.seq LIMIT 1)) "
    "FROM tenant WHERE (:everyone OR tenant.client_base_url <> '') "
    "AND (CAST(:tenant_id AS text) IS NULL OR tenant.id = :tenant_id)"
)
_ENSURE = text(
    "INSERT INTO tenant_sync (tenant_id) SELECT id FROM tenant "
    "WHERE CAST(:tenant_id AS text) IS NULL OR id = :tenant_id ON CONFLICT DO NOTHING"
)


class TenantSyncTable(Table):
    """Table of the tenants' report calls, a row for each tenant.

    The row is inserted with the tenant or before its first call. Instants are Unix seconds.
    ``next_due_at`` is the time of the next call, even if there is nothing to report. While
    ``failures`` is above 0 it holds back reports too. ``quiet_until`` holds back empty calls only.
    ``idle_calls`` counts consecutive answers that announced messages which never came.
    """

    schema = schema.tenant_sync

    def due(self, connection: Connection, now: float, everyone: bool) -> list[str]:
        """Return the tenants that are due for a call and not claimed, healthy ones first.

        ``everyone`` includes tenants without a URL of their own. It is one statement, whose cost
        grows with the number of tenants, not of their events.
        """
        return list(connection.execute(_DUE, {"now": now, "everyone": everyone}).scalars())

    def claim(
        self, connection: Connection, tenant_id: str, owner: str, now: float, until: float
    ) -> Row | None:
        """Claim the calls to a tenant until ``until``; return its row.

        Returns None if another owner holds the claim.
        """
        connection.execute(_ENSURE, {"tenant_id": tenant_id})
        c = self.schema.c
        statement = (
            update(self.schema)
            .where(
                c.tenant_id == tenant_id,
                or_(c.claimed_by.is_(None), c.claimed_by == owner, c.claimed_until < now),
            )
            .values(claimed_by=owner, claimed_until=until)
        )
        if connection.execute(statement).rowcount == 0:
            return None
        return self.get(connection, tenant_id=tenant_id)

    def claimants(self, connection: Connection) -> list[str]:
        """Return every owner of a claim on a tenant."""
        c = self.schema.c.claimed_by
        return list(connection.execute(select(c).where(c.is_not(None)).distinct()).scalars())

    def release(self, connection: Connection, owner: str, tenant_id: str | None = None) -> None:
        """Release the claim of ``owner`` on one tenant, or on all of its tenants."""
        c = self.schema.c
        statement = update(self.schema).where(c.claimed_by == owner)
        if tenant_id is not None:
            statement = statement.where(c.tenant_id == tenant_id)
        connection.execute(statement.values(claimed_by=None, claimed_until=None))

    def failing(self, connection: Connection, tenant_id: str | None, limit: int) -> list[Row]:
        """Return the rows of tenants whose last call failed, the longest failing first.

        Of one tenant or, with None, of all.
        """
        c = self.schema.c
        found = select(self.schema).where(c.failures > 0).order_by(c.last_sync_at, c.tenant_id)
        if tenant_id is not None:
            found = found.where(c.tenant_id == tenant_id)
        return [dict(row._mapping) for row in connection.execute(found.limit(limit))]

    def count_failing(self, connection: Connection, tenant_id: str | None) -> int:
        """Count the tenants whose last call failed, among one or, with None, all."""
        wanted = EVERY_TENANT if tenant_id is None else tenant_id
        return self.count(connection, self.schema.c.failures > 0, tenant_id=wanted)

    def oldest_report_at(
        self, connection: Connection, tenant_id: str | None, everyone: bool
    ) -> float | None:
        """Return when the oldest event happened that an application has not acknowledged.

        Of one tenant or, with None, of all. Only tenants that are called count: those with a URL,
        or with ``everyone`` all.
        """
        values = {"tenant_id": tenant_id, "everyone": everyone}
        found = connection.execute(_OLDEST_REPORT, values).scalar()
        return None if found is None else float(found)

    def call_now(self, connection: Connection, now: float, tenant_id: str | None) -> None:
        """Make one tenant due now and reset its do-not-disturb.

        None makes all tenants due, and resets no do-not-disturb.
        """
        connection.execute(_ENSURE, {"tenant_id": tenant_id})
        statement = update(self.schema)
        if tenant_id is None:
            statement = statement.values(next_due_at=now)
        else:
            statement = statement.where(self.schema.c.tenant_id == tenant_id)
            statement = statement.values(next_due_at=now, quiet_until=None)
        connection.execute(statement)

    def end_back_off(self, connection: Connection, now: float, tenant_id: str) -> None:
        """Make a tenant due now if its last calls failed; otherwise change nothing."""
        c = self.schema.c
        connection.execute(
            update(self.schema)
            .where(c.tenant_id == tenant_id, c.failures > 0)
            .values(next_due_at=now, failures=0)
        )

    def messages_arrived(
        self, connection: Connection, now: float, tenant_ids: Sequence[str]
    ) -> None:
        """End the slow calling of tenants that announced messages and now added some."""
        c = self.schema.c
        waits = (c.idle_calls > 0) & (c.failures == 0) & (c.next_due_at > now)
        connection.execute(
            update(self.schema)
            .where(
                c.tenant_id.in_(tenant_ids),
                or_(c.idle_calls > 0, c.claimed_by.is_not(None)),
            )
            .values(
                idle_calls=case((c.claimed_by.is_(None), 0), else_=HANDED_OVER),
                next_due_at=case((waits, now), else_=c.next_due_at),
            )
        )
