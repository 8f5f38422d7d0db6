"""What happened to messages, and what of it the tenants know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, select

from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.table import Row, Table

_SEQ: Shape = (("seq", "bigint"),)
_UNREPORTED = "reported_at IS NULL AND event_type <> 'queued'"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append; ``data`` is JSON-ready."""

    message_pk: str
    tenant_id: str
    event_type: str
    event_at: float
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that its tenant does not know yet, with the names that a report needs."""

    seq: int
    message_pk: str
    message_id: str
    account_id: str
    event_type: str
    event_at: float
    data: dict[str, Any]
    report_attempts: int


class MessageEventTable(Table):
    """Append-only but for the columns that tell about reporting."""

    schema = schema.message_event

    def __init__(self, db: SqlDb, key: bytes) -> None:
        super().__init__(key)
        self._db = db

    def append(self, connection: Connection, events: Sequence[NewEvent]) -> None:
        """Append events; those of messages that are gone are dropped."""
        columns = "message_pk, tenant_id, event_type, event_at, data"
        self._db.execute_rows(
            connection,
            f"INSERT INTO message_event ({columns}) SELECT {columns} FROM rows "
            "WHERE EXISTS (SELECT 1 FROM message WHERE message.pk = rows.message_pk)",
            (
                ("message_pk", "uuid"),
                ("tenant_id", "text"),
                ("event_type", "text"),
                ("event_at", "double precision"),
                ("data", "text"),
            ),
            [
                (e.message_pk, e.tenant_id, e.event_type, e.event_at, orjson.dumps(e.data).decode())
                for e in events
            ],
        )

    def of_message(self, connection: Connection, message_pk: str) -> list[Row]:
        """Oldest first."""
        return self.select(connection, message_pk=message_pk, order_by=self.schema.c.seq)

    def tenants_to_tell(self, connection: Connection) -> list[str]:
        """Tenants with events they do not know; the cost grows with tenants, not with events."""
        first = f"SELECT tenant_id FROM message_event WHERE {_UNREPORTED}"
        result = connection.exec_driver_sql(
            f"WITH RECURSIVE told(id) AS (SELECT ({first} ORDER BY tenant_id LIMIT 1) UNION ALL "
            f"SELECT ({first} AND tenant_id > told.id ORDER BY tenant_id LIMIT 1) "
            "FROM told WHERE told.id IS NOT NULL) SELECT id FROM told WHERE id IS NOT NULL"
        )
        return list(result.scalars())

    def unreported(
        self, connection: Connection, tenant_id: str, now: float, limit: int
    ) -> list[PendingEvent]:
        """Events to report now, oldest first.

        An event behind an older one of its message that was put off waits with it, so that
        each message's story is told in order.
        """
        e, m, a = self.schema.alias("e"), schema.message, schema.account
        earlier = self.schema.alias("earlier")
        blocked = select(earlier.c.seq).where(
            earlier.c.message_pk == e.c.message_pk,
            earlier.c.seq <= e.c.seq,
            earlier.c.reported_at.is_(None),
            earlier.c.report_after > now,
        )
        columns = (e.c.event_type, e.c.event_at, e.c.data, e.c.report_attempts)
        statement = (
            select(e.c.seq, e.c.message_pk, m.c.id, a.c.id.label("account_id"), *columns)
            .join(m, m.c.pk == e.c.message_pk)
            .join(a, a.c.pk == m.c.account_pk)
            .where(
                e.c.tenant_id == tenant_id,
                e.c.reported_at.is_(None),
                e.c.event_type != "queued",
                ~blocked.exists(),
            )
            .order_by(e.c.seq)
            .limit(limit)
        )
        return [PendingEvent(*row) for row in connection.execute(statement)]

    def acknowledge(self, connection: Connection, seqs: Sequence[int], now: float) -> None:
        """The tenant knows these events."""
        self._db.execute_rows(
            connection,
            "UPDATE message_event SET reported_at = rows.now FROM rows "
            "WHERE message_event.seq = rows.seq AND reported_at IS NULL",
            (*_SEQ, ("now", "double precision")),
            [(seq, now) for seq in seqs],
        )

    def put_off(self, connection: Connection, until: Sequence[tuple[int, float]]) -> None:
        """Report these events (seq, Unix seconds) again, not before the given time."""
        self._db.execute_rows(
            connection,
            "UPDATE message_event SET report_after = rows.until, "
            "report_attempts = report_attempts + 1 FROM rows "
            "WHERE message_event.seq = rows.seq AND reported_at IS NULL",
            (*_SEQ, ("until", "double precision")),
            until,
        )

    def next_put_off(self, connection: Connection, tenant_id: str) -> float | None:
        """When the earliest event that was put off may be reported again; None without one."""
        c = self.schema.c
        statement = (
            select(c.report_after)
            .where(
                c.tenant_id == tenant_id,
                c.reported_at.is_(None),
                c.event_type != "queued",
                c.report_after.is_not(None),
            )
            .order_by(c.report_after)
            .limit(1)
        )
        return connection.execute(statement).scalar()
