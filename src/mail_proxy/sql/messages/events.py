"""Events of messages, and which of them were reported to the tenants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, text

from mail_proxy.domain.events import KINDS
from mail_proxy.domain.message import EventType
from mail_proxy.sql import conditions, schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.hourly_counts import HourlyCounts
from mail_proxy.sql.table import Row, Table

#: Of the data of the events of one report call.
MOST_BYTES = 4_000_000
_STREAMED = {"stream_results": True, "max_row_buffer": 50}
_SEQ: Shape = (("seq", "bigint"),)
_COUNTERS = {kind.name: kind.counter for kind in KINDS if kind.counter is not None}
_EVENT: Shape = (
    ("message_pk", "uuid"),
    ("tenant_id", "text"),
    ("event_type", "text"),
    ("event_at", "double precision"),
    ("data", "text"),
)
#: Conditions on one event ``e``. They name the partial indexes' own conditions literally:
#: SQLite uses such an index only then.
FRESH_REPORTABLE = (
    f"{conditions.FRESH} AND NOT EXISTS (SELECT 1 FROM message_event AS earlier "
    "WHERE earlier.message_pk = e.message_pk AND earlier.seq < e.seq "
    "AND earlier.reported_at IS NULL AND earlier.report_after IS NOT NULL)"
)
PUT_OFF_REPORTABLE = (
    f"{conditions.PUT_OFF} AND report_after <= :now AND NOT EXISTS (SELECT 1 "
    "FROM message_event AS earlier WHERE earlier.message_pk = e.message_pk "
    "AND earlier.seq < e.seq AND earlier.reported_at IS NULL "
    "AND earlier.report_after > e.report_after)"
)
_UNREPORTED_EVENTS = text(
    "SELECT e.seq, e.message_pk, m.id, a.pk, a.id, e.event_type, e.event_at, e.data, "
    "e.report_attempts "
    "FROM (SELECT seq FROM (SELECT e.seq FROM message_event AS e "
    f"WHERE {FRESH_REPORTABLE} AND e.tenant_id = :tenant_id ORDER BY e.seq LIMIT :limit) AS fresh "
    "UNION ALL SELECT seq FROM (SELECT e.seq FROM message_event AS e "
    f"WHERE {PUT_OFF_REPORTABLE} AND e.tenant_id = :tenant_id "
    "ORDER BY e.report_after, e.seq LIMIT :limit) AS put_off) AS found "
    "JOIN message_event AS e ON e.seq = found.seq "
    "JOIN message AS m ON m.pk = e.message_pk JOIN account AS a ON a.pk = m.account_pk "
    "ORDER BY e.seq LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append; ``data`` is JSON-ready."""

    message_pk: str
    tenant_id: str
    account_pk: str
    event_type: str
    event_at: float
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An unreported event, with the names that a report needs."""

    seq: int
    message_pk: str
    message_id: str
    account_pk: str
    account_id: str
    event_type: str
    event_at: float
    data: dict[str, Any]
    report_attempts: int
    size: int = 0


class MessageEventTable(Table):
    """The table of events: append-only, except for the columns about reporting."""

    schema = schema.message_event

    def __init__(self, db: SqlDb, key: bytes, counts: HourlyCounts) -> None:
        super().__init__(key)
        self._db = db
        self._counts = counts

    def append(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """Append events of messages that this transaction has changed, and count them."""
        self._db.insert_rows(
            connection,
            "message_event",
            _EVENT,
            [(e.message_pk, e.tenant_id, e.event_type, e.event_at, _dumps(e)) for e in events],
        )
        self._counts.add(
            connection,
            [
                (e.tenant_id, e.account_pk, e.event_at, counter)
                for e in events
                if (counter := _COUNTERS.get(e.event_type)) is not None
            ],
        )

    def of_message(self, connection: Connection, tenant_id: str, message_pk: str) -> list[Row]:
        """Return the stored events of a message, oldest first, without its intake."""
        return self.select(
            connection,
            tenant_id=tenant_id,
            message_pk=message_pk,
            order_by=self.schema.c.seq,
        )

    def history(
        self, connection: Connection, tenant_id: str, message_pk: str, created_at: float
    ) -> list[Row]:
        """Return the events of a message as they are shown, oldest first.

        The first one is ``queued`` at ``created_at``, when the message was taken in. Only older
        programs have stored it.
        """
        stored = self.of_message(connection, tenant_id, message_pk)
        first: Row = {"event_type": str(EventType.QUEUED), "event_at": created_at}
        if stored and first.items() <= stored[0].items():
            return stored
        return [{**first, "data": None, "reported_at": None}, *stored]

    def unreported(
        self, connection: Connection, tenant_id: str, now: float, limit: int
    ) -> list[PendingEvent]:
        """Return events to report now, oldest first, until they exceed ``MOST_BYTES``.

        An event waits if an older event of its message was put off, so that the events of each
        message are reported in order.
        """
        values = {"tenant_id": tenant_id, "now": now, "limit": limit}
        found: list[PendingEvent] = []
        size = 0
        # Streamed, because events with many recipients may take a megabyte each.
        with connection.execute(_UNREPORTED_EVENTS, values, execution_options=_STREAMED) as rows:
            for row in rows:
                found.append(_pending(*row))
                size += found[-1].size
                if size > MOST_BYTES:
                    break
        return found

    def acknowledge(
        self, connection: Connection, tenant_id: str, events: Sequence[PendingEvent], now: float
    ) -> None:
        """Mark events as reported: the tenant has acknowledged them."""
        marked = self._db.change_rows(
            connection,
            "UPDATE message_event SET reported_at = rows.now FROM rows "
            "WHERE message_event.seq = rows.seq AND reported_at IS NULL",
            (*_SEQ, ("now", "double precision")),
            [(event.seq, now) for event in events],
        )
        self._counts.add(
            connection,
            [(tenant_id, e.account_pk, now, "reported") for e in events if e.seq in marked],
        )

    def put_off(self, connection: Connection, until: Sequence[tuple[int, float]]) -> None:
        """Put events (seq, Unix seconds) off: report them again after the given time."""
        self._db.execute_rows(
            connection,
            "UPDATE message_event SET report_after = rows.until, "
            "report_attempts = report_attempts + 1 FROM rows "
            "WHERE message_event.seq = rows.seq AND reported_at IS NULL",
            (*_SEQ, ("until", "double precision")),
            until,
        )


def is_cut(events: Sequence[PendingEvent]) -> bool:
    """Return whether ``unreported`` left events out because these are large."""
    return sum(event.size for event in events) > MOST_BYTES


def _dumps(event: NewEvent) -> str:
    return orjson.dumps(event.data).decode()


def _pending(
    seq: int,
    message_pk: str,
    message_id: str,
    account_pk: str,
    account_id: str,
    event_type: str,
    event_at: float,
    data: str | None,
    attempts: int,
) -> PendingEvent:
    loaded = orjson.loads(data) if data else {}
    return PendingEvent(
        seq,
        message_pk,
        message_id,
        account_pk,
        account_id,
        event_type,
        event_at,
        loaded,
        attempts,
        len(data or ""),
    )
