"""Purge finished messages whose events were all reported long ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from mail_proxy.sql import conditions
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.db import SqlDb

#: Share of the time that a purge takes: no caller waits for it, and deliveries go first.
_SHARE = 0.25
_IS_OVER = (
    "(message.state IN ('sent', 'error') AND NOT EXISTS (SELECT 1 FROM message_event AS later "
    f"WHERE later.message_pk = message.pk AND {conditions.IS_REPORT} "
    "AND (later.reported_at IS NULL OR later.reported_at >= {before})))"
)
_OLD_REPORTS = text(
    f"SELECT old.seq, old.reported_at, message.pk, {_IS_OVER.format(before=':before')} "
    "FROM (SELECT seq, reported_at, message_pk FROM message_event "
    "WHERE tenant_id = :tenant_id AND reported_at IS NOT NULL AND reported_at < :before "
    "AND (reported_at, seq) > (:reported_at, :seq) "
    "ORDER BY reported_at, seq LIMIT :limit) AS old "
    "JOIN message ON message.pk = old.message_pk ORDER BY old.reported_at, old.seq"
)
#: The oldest report of each tenant; with EXISTS, PostgreSQL may read all of them.
_TENANTS_WITH_OLD_REPORTS = text(
    "SELECT tenant.id, :now - coalesce(tenant.retention_seconds, :usual) FROM tenant "
    "WHERE (SELECT e.reported_at FROM message_event AS e WHERE e.tenant_id = tenant.id "
    "AND e.reported_at IS NOT NULL ORDER BY e.reported_at LIMIT 1) "
    "< :now - coalesce(tenant.retention_seconds, :usual)"
)
_REMOVE = (
    "DELETE FROM message WHERE pk IN (SELECT pk FROM rows) AND "
    + _IS_OVER.format(before="(SELECT max(rows.before) FROM rows)")
    + " RETURNING pk"
)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A position among a tenant's reported events, ordered by report time."""

    reported_at: float = 0.0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class OldReport:
    """A reported event; ``is_over`` says that its message may be purged."""

    position: Position
    message_pk: str
    is_over: bool


class MessagePurge:
    """Removes old messages by walking through the reported events, oldest first.

    So the cost grows with the messages that are removed: unreported events are not read at all.
    A message is over if it is finished and each of its events (except ``queued``) was reported
    before a given time. The walk finds it at the last of those reports.
    """

    def __init__(self, db: SqlDb) -> None:
        self._db = db

    async def messages(
        self, tenant_id: str, before: float, after: Position | None = None
    ) -> tuple[int, Position]:
        """Remove a tenant's messages that were over before ``before`` (Unix seconds).

        The walk begins behind ``after``. Returns how many messages were removed, and how far the
        walk went.
        """
        removed, after = 0, after or Position()
        chunks = ChunkedWork(self._db, share=_SHARE)
        while True:
            size = chunks.size
            found = await self._db.read(self.old_reports, tenant_id, before, after, size)
            over = list(dict.fromkeys(r.message_pk for r in found if r.is_over))
            if over:
                removed += await chunks.one(self.remove, over, before)
            if found:
                after = found[-1].position
            if len(found) < size:
                return removed, after

    async def tenants(self, now: float, usual_seconds: float) -> list[tuple[str, float]]:
        """Return tenants with reports older than their retention, and its limit."""
        return await self._db.read(self.with_old_reports, now, usual_seconds)

    def with_old_reports(
        self, connection: Connection, now: float, usual_seconds: float
    ) -> list[tuple[str, float]]:
        """Compare each tenant's oldest report with its retention, or ``usual_seconds``."""
        values = {"now": now, "usual": usual_seconds}
        rows = connection.execute(_TENANTS_WITH_OLD_REPORTS, values)
        return [(tenant_id, before) for tenant_id, before in rows]

    def old_reports(
        self, connection: Connection, tenant_id: str, before: float, after: Position, limit: int
    ) -> list[OldReport]:
        """Return the oldest reports behind ``after``."""
        values = {"tenant_id": tenant_id, "before": before, "limit": limit}
        place = {"reported_at": after.reported_at, "seq": after.seq}
        rows = connection.execute(_OLD_REPORTS, values | place)
        return [OldReport(Position(at, seq), pk, bool(over)) for seq, at, pk, over in rows]

    def remove(self, connection: Connection, pks: Sequence[str], before: float) -> int:
        """Remove messages that are still over, with payload and events; returns how many."""
        shape = (("pk", "uuid"), ("before", "double precision"))
        return len(self._db.execute_rows(connection, _REMOVE, shape, [(pk, before) for pk in pks]))
