"""Repair instants that lie in the future because the wall clock was set back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, func, select, text, update

from mail_proxy.domain.account import LONGEST_PAUSE_SECONDS
from mail_proxy.domain.limits import MINUTE, bucket_at
from mail_proxy.sql import schema
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.types import AFTER_CLOCK_SET_BACK, AtMost

if TYPE_CHECKING:
    from mail_proxy.sql.tables.rate_use import RateUseTable

#: The clocks of hosts that share a database may differ by so much.
_TOLERANCE_SECONDS = 5.0
#: Counters of another host's present must not be moved: then a window could hold too much.
_COUNTER_TOLERANCE_SECONDS = 2 * MINUTE
_NEWEST = text(
    "SELECT seq, message_pk, event_at FROM message_event WHERE seq < :before "
    "ORDER BY seq DESC LIMIT :limit"
)
#: What was due when its last event was written is due now, and a retry keeps its distance. What a
#: client has scheduled is left alone: it named a time and not a delay.
_BRING_BACK = (
    "UPDATE message SET due_at = CASE WHEN message.state = 'deferred' "
    "AND message.due_at - rows.event_at > 0 "
    "THEN rows.now + (message.due_at - rows.event_at) ELSE rows.now END, "
    "state_at = CASE WHEN message.state = 'deferred' THEN rows.now ELSE message.state_at END "
    "FROM rows WHERE message.pk = rows.pk AND message.due_at > rows.now AND "
    "(message.state = 'sending' "
    "OR message.state = 'pending' AND message.due_at <= rows.event_at "
    "OR message.state = 'deferred' AND message.state_at = rows.event_at) RETURNING message.pk"
)


class ClockRepair:
    """Brings instants back that lie further ahead than any wait is long.

    A column with a longest wait declares it in the schema (``at_most``); the others have a
    statement here. Repairing twice, or on several hosts, changes nothing more.
    """

    def __init__(self, db: SqlDb, rates: RateUseTable) -> None:
        self._db = db
        self._rates = rates

    def messages(
        self, connection: Connection, now: float, before_seq: int, limit: int
    ) -> tuple[int, int | None]:
        """Repair the messages of the ``limit`` events before ``before_seq``, newest first.

        Events are numbered in the order in which they were written, so those of a time that has
        not come are the last ones: the cost grows with them, and one look shows that there are
        none. Returns how many messages were changed, and where to go on, or None.
        """
        values = {"before": before_seq, "limit": limit}
        events = connection.execute(_NEWEST, values).all()
        ahead = [e for e in events if e.event_at > now + _TOLERANCE_SECONDS]
        if not ahead:
            return 0, None
        newest: dict[str, float] = {}
        for event in ahead:
            newest.setdefault(event.message_pk, event.event_at)
        changed = self._db.execute_rows(
            connection,
            _BRING_BACK,
            (("pk", "uuid"), ("event_at", "double precision"), ("now", "double precision")),
            [(pk, event_at, now) for pk, event_at in newest.items()],
        )
        return len(changed), events[-1].seq if len(events) == limit else None

    def others(self, connection: Connection, now: float, sync_interval: float) -> int:
        """Repair everything except messages; return how many rows were changed.

        ``sync_interval`` is the longest wait of calls and reports.
        """
        changed = self._accounts(connection, now)
        changed += self._bounded(connection, now, sync_interval)
        changed += self._reports(connection, now + sync_interval)
        return changed + self._rate_use(connection, now)

    def _accounts(self, connection: Connection, now: float) -> int:
        h = schema.account_health
        future = update(h).where(h.c.since_at > now + _TOLERANCE_SECONDS)
        shifted = future.values(retry_at=h.c.retry_at - (h.c.since_at - now), since_at=now)
        latest = now + LONGEST_PAUSE_SECONDS + _TOLERANCE_SECONDS
        clipped = update(h).where(h.c.retry_at > latest).values(retry_at=latest)
        return connection.execute(shifted).rowcount + connection.execute(clipped).rowcount

    def _bounded(self, connection: Connection, now: float, sync_interval: float) -> int:
        """Shorten every wait that is longer than its column declares."""
        changed = 0
        for table in schema.metadata.sorted_tables:
            for column in table.columns:
                bound = column.info.get(AFTER_CLOCK_SET_BACK)
                if isinstance(bound, AtMost):
                    latest = now + (sync_interval if bound.seconds is None else bound.seconds)
                    late = update(table).where(column > latest + _TOLERANCE_SECONDS)
                    changed += connection.execute(late.values({column: latest})).rowcount
        return changed

    def _reports(self, connection: Connection, latest: float) -> int:
        tenants = connection.execute(select(schema.tenant.c.id)).scalars()
        changed = self._db.execute_rows(
            connection,
            "UPDATE message_event SET report_after = rows.latest FROM rows "
            f"WHERE message_event.tenant_id = rows.tenant_id AND {schema.PUT_OFF} "
            "AND report_after > rows.late RETURNING seq",
            (
                ("tenant_id", "text"),
                ("latest", "double precision"),
                ("late", "double precision"),
            ),
            [(tenant_id, latest, latest + _TOLERANCE_SECONDS) for tenant_id in tenants],
        )
        return len(changed)

    def _rate_use(self, connection: Connection, now: float) -> int:
        """Counters of times to come count as used now."""
        c = schema.rate_use.c
        future = c.bucket_at > now + _COUNTER_TOLERANCE_SECONDS
        rows = connection.execute(
            delete(schema.rate_use).where(future).returning(c.subject, c.window_seconds, c.used)
        ).all()
        counts: dict[tuple[str, int, int], int] = {}
        for subject, window, used in rows:
            key = (subject, window, bucket_at(window, now))
            counts[key] = counts.get(key, 0) + used
        if counts:
            self._rates.count(connection, counts)
        return len(rows)


def after_all_events(connection: Connection) -> int:
    """A number above that of every event."""
    newest = connection.execute(select(func.max(schema.message_event.c.seq))).scalar()
    return int(newest or 0) + 1
