"""Repair instants that lie in the future because the wall clock was set back."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, func, select, text, update

from mail_proxy.domain.account import LONGEST_PAUSE_SECONDS
from mail_proxy.kit.ids import first_uuid7
from mail_proxy.sql import conditions, schema
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.messages.listing import LONGEST_INTAKE_SECONDS
from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import AFTER_CLOCK_SET_BACK, AtMost, Instant, Pk

#: The clocks of hosts that share a database may differ by so much.
_TOLERANCE_SECONDS = 5.0
_NEWEST = text(
    "SELECT seq, message_pk, event_at FROM message_event WHERE seq < :before "
    "ORDER BY seq DESC LIMIT :limit"
)
#: The pk of a message is older than its ``created_at`` by the time that its call took.
_TAKEN_IN = text(
    "SELECT pk, created_at FROM message WHERE pk > :least AND pk < :before "
    "AND created_at > :ahead ORDER BY pk DESC LIMIT :limit"
).bindparams(bindparam("least", type_=Pk), bindparam("before", type_=Pk))
#: A message that was due at its last event is due now, and a retry keeps its delay. A message that
#: a client has scheduled is left alone: the client named a time and not a delay.
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
    """Statements that shorten waits which became too long when the clock was set back.

    A column with a longest wait declares it in the schema (``at_most``). The others have a
    statement here, and the counters of rate limits have ``RateUseTable.repair``. Repairing twice,
    or on several hosts, changes nothing more.
    """

    def __init__(self, db: SqlDb) -> None:
        self._db = db

    def messages(
        self, connection: Connection, now: float, before_seq: int, limit: int
    ) -> tuple[int, int | None]:
        """Repair the messages of the newest ``limit`` stored events before ``before_seq``.

        Events are numbered in the order in which they were written, so events of the future are
        the last ones. The cost grows with their number, and one query shows that there are none.
        Returns the number of changed messages, and the next ``before_seq``, None at the end.
        """
        values = {"before": before_seq, "limit": limit}
        events = connection.execute(_NEWEST, values).all()
        ahead = [e for e in events if e.event_at > now + _TOLERANCE_SECONDS]
        if not ahead:
            return 0, None
        newest: dict[str, float] = {}
        for event in ahead:
            newest.setdefault(event.message_pk, event.event_at)
        changed = self._bring_back(connection, newest, now)
        return changed, events[-1].seq if len(events) == limit else None

    def taken_in(
        self, connection: Connection, now: float, before_pk: str, limit: int
    ) -> tuple[int, str | None]:
        """Repair the newest ``limit`` messages before ``before_pk`` taken in ahead of now.

        Returns the number of changed messages, and the next ``before_pk``, None at the end.
        """
        ahead = now + _TOLERANCE_SECONDS
        least = first_uuid7(max(0.0, ahead - LONGEST_INTAKE_SECONDS))
        values = {"least": least, "before": before_pk, "ahead": ahead, "limit": limit}
        found = connection.execute(_TAKEN_IN.columns(pk=Pk, created_at=Instant), values).all()
        changed = self._bring_back(connection, dict(map(tuple, found)), now)
        return changed, found[-1].pk if len(found) == limit else None

    def _bring_back(self, connection: Connection, newest: Mapping[str, float], now: float) -> int:
        """Repair messages; ``newest`` is the time of the last event of each."""
        changed = self._db.execute_rows(
            connection,
            _BRING_BACK,
            (("pk", "uuid"), ("event_at", "double precision"), ("now", "double precision")),
            [(pk, event_at, now) for pk, event_at in newest.items()],
        )
        return len(changed)

    def others(self, connection: Connection, now: float, sync_interval: float) -> int:
        """Repair everything except messages and counters; return the number of rows.

        ``sync_interval`` is the longest wait of calls and reports, in seconds.
        """
        changed = self._accounts(connection, now)
        changed += self._bounded(connection, now, sync_interval)
        return changed + self._reports(connection, now + sync_interval)

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
        for table in metadata.sorted_tables:
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
            f"WHERE message_event.tenant_id = rows.tenant_id AND {conditions.PUT_OFF} "
            "AND report_after > rows.late RETURNING seq",
            (
                ("tenant_id", "text"),
                ("latest", "double precision"),
                ("late", "double precision"),
            ),
            [(tenant_id, latest, latest + _TOLERANCE_SECONDS) for tenant_id in tenants],
        )
        return len(changed)


def after_all_events(connection: Connection) -> int:
    """Return a ``seq`` above every event's, at which ``ClockRepair.messages`` begins."""
    newest = connection.execute(select(func.max(schema.message_event.c.seq))).scalar()
    return int(newest or 0) + 1


#: A pk above every message's, at which ``ClockRepair.taken_in`` begins.
AFTER_ALL_MESSAGES = "ffffffff-ffff-ffff-ffff-ffffffffffff"
