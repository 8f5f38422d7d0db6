"""Removing messages that are over and were told long ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from mail_proxy.sql import schema
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.db import SqlDb

#: Nobody waits for it; still above what one process delivers.
_SHARE = 0.25
_IS_OVER = (
    "(message.state IN ('sent', 'error') AND NOT EXISTS (SELECT 1 FROM message_event AS later "
    f"WHERE later.message_pk = message.pk AND {schema.IS_REPORT} "
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
    """A place among a tenant's reported events, which are ordered by when they were reported."""

    reported_at: float = 0.0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class OldReport:
    """A reported event; ``is_over`` says that its message may be removed."""

    position: Position
    message_pk: str
    is_over: bool


class Removal:
    """Removes messages by walking through the reported events from their old end.

    So the cost grows with what is removed: what was never reported is not met at all. A message
    is over when it is finished and every event of it (but ``queued``) was reported before a
    given time; the last of those reports is where the walk finds it.
    """

    def __init__(self, db: SqlDb) -> None:
        self._db = db

    async def messages(
        self, tenant_id: str, before: float, after: Position | None = None
    ) -> tuple[int, Position]:
        """Remove what was over before ``before``, Unix seconds, beginning behind ``after``.

        Returns how many messages are gone, and how far the walk went.
        """
        removed, after = 0, after or Position()
        slices = ChunkedWork(self._db, share=_SHARE)
        while True:
            size = slices.size
            found = await self._db.read(self.old_reports, tenant_id, before, after, size)
            over = list(dict.fromkeys(r.message_pk for r in found if r.is_over))
            if over:
                removed += await slices.one(self.remove, over, before)
            if found:
                after = found[-1].position
            if len(found) < size:
                return removed, after

    async def tenants(self, now: float, usual_seconds: float) -> list[tuple[str, float]]:
        """Tenants with reports older than their retention, and the time that divides them."""
        return await self._db.read(self.with_old_reports, now, usual_seconds)

    def with_old_reports(
        self, connection: Connection, now: float, usual_seconds: float
    ) -> list[tuple[str, float]]:
        """One look at the oldest report of each tenant; ``usual_seconds`` where it has no own."""
        values = {"now": now, "usual": usual_seconds}
        rows = connection.execute(_TENANTS_WITH_OLD_REPORTS, values)
        return [(tenant_id, before) for tenant_id, before in rows]

    def old_reports(
        self, connection: Connection, tenant_id: str, before: float, after: Position, limit: int
    ) -> list[OldReport]:
        """The oldest reports behind ``after``."""
        values = {"tenant_id": tenant_id, "before": before, "limit": limit}
        place = {"reported_at": after.reported_at, "seq": after.seq}
        rows = connection.execute(_OLD_REPORTS, values | place)
        return [OldReport(Position(at, seq), pk, bool(over)) for seq, at, pk, over in rows]

    def remove(self, connection: Connection, pks: Sequence[str], before: float) -> int:
        """Remove those that are (still) over, with all that hangs on them; returns how many."""
        shape = (("pk", "uuid"), ("before", "double precision"))
        return len(self._db.execute_rows(connection, _REMOVE, shape, [(pk, before) for pk in pks]))
