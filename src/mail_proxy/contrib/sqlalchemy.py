"""Transactional outbox for SQLAlchemy: messages are stored with the caller's data.

A message is queued at the proxy when, and only when, the caller's transaction commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from mail_proxy.client import MailProxyClient
from mail_proxy.contrib.queueing import queue_messages

_MOST_ROWS = 100


def outbox_table(metadata: MetaData, name: str = "mail_outbox") -> Table:
    """Declare the table of the outbox in an application's metadata."""
    return Table(
        name,
        metadata,
        Column("pk", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("message_id", String(255), nullable=False, unique=True),
        Column("payload", JSON, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False),
        Column("refused", Text),
    )


class Outbox:
    """Outbox of an application.

    ``add`` stores messages in a transaction. ``send`` hands the stored ones to the proxy: call it
    after the commit, and every minute for those that could not be handed over then.
    """

    def __init__(self, table: Table, engine: Engine, client: MailProxyClient) -> None:
        self._table = table
        self._engine = engine
        self._client = client

    def add(self, connection: Connection | Session, messages: Sequence[dict[str, Any]]) -> None:
        """Store messages, in the fields of ``add-messages`` as JSON, in this transaction."""
        now = datetime.now(UTC)
        rows = [{"message_id": m["id"], "payload": m, "created_at": now} for m in messages]
        if rows:
            connection.execute(insert(self._table), rows)

    def send(self) -> int:
        """Hand the stored messages to the proxy; return how many it took.

        Rows are locked meanwhile where the database can do so; without that a message may be
        handed over twice, and the proxy knows it by its id. Refused messages stay with their
        reason in ``refused``. Raises MailProxyError if the service cannot be reached.
        """
        taken = last = 0
        while True:
            with self._engine.begin() as connection:
                rows = connection.execute(self._waiting(last)).all()
                if not rows:
                    return taken
                taken += self._hand_over(connection, rows)
                last = rows[-1].pk

    def _waiting(self, after: int) -> Any:
        columns = self._table.c
        return (
            select(columns.pk, columns.message_id, columns.payload)
            .where(columns.refused.is_(None), columns.pk > after)
            .order_by(columns.pk)
            .limit(_MOST_ROWS)
            .with_for_update(skip_locked=True)
        )

    def _hand_over(self, connection: Connection, rows: Sequence[Any]) -> int:
        columns = self._table.c
        refused = {
            r.id: r.reason for r in queue_messages(self._client, [row.payload for row in rows])
        }
        for message_id, reason in refused.items():
            connection.execute(
                update(self._table).where(columns.message_id == message_id).values(refused=reason)
            )
        done = [row.pk for row in rows if row.message_id not in refused]
        connection.execute(delete(self._table).where(columns.pk.in_(done)))
        return len(done)
