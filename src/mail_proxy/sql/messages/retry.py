"""Put messages that ended in error back into the queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, select

from mail_proxy.domain.message import EventType, MessageState
from mail_proxy.domain.outcome import RecipientStatus
from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.messages.events import MessageEventTable, NewEvent
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.messages.suspended import SuspendedMessages

_MAY_BE_RETRIED = (
    "message.state = 'error' AND EXISTS (SELECT 1 FROM account "
    "WHERE account.pk = message.account_pk AND account.deleted_at IS NULL)"
)
_RETRIED: Shape = (
    ("pk", "uuid"),
    ("now", "double precision"),
    ("recipients_left", "text"),
    ("recipient_results", "text"),
)


class RetriedMessages:
    """Retries messages in state ``error`` whose account still exists."""

    def __init__(self, db: SqlDb, events: MessageEventTable) -> None:
        self._db = db
        self._events = events
        self._held = SuspendedMessages(db)

    def named(self, connection: Connection, tenant_id: str, ids: Sequence[str]) -> list[str]:
        """Return the pks of named messages that may be retried, oldest first."""
        found = self._db.execute_rows(
            connection,
            "SELECT message.pk FROM rows JOIN message ON message.tenant_id = rows.tenant_id "
            f"AND message.id = rows.id WHERE {_MAY_BE_RETRIED}",
            (("tenant_id", "text"), ("id", "text")),
            [(tenant_id, id_) for id_ in ids],
        )
        return sorted(row[0] for row in found)

    def of_batch(
        self, connection: Connection, tenant_id: str, batch_code: str, after: str | None, limit: int
    ) -> list[str]:
        """Return up to ``limit`` pks of failed messages of a batch, oldest first.

        Those behind the pk ``after``.
        """
        m = schema.message.c
        # The concatenation keeps SQLite from using the index on states: a batch has fewer messages.
        is_error = m.state.concat("") == MessageState.ERROR
        statement = select(m.pk).where(
            m.tenant_id == tenant_id, m.batch_code == batch_code, is_error
        )
        if after is not None:
            statement = statement.where(m.pk > after)
        return list(connection.execute(statement.order_by(m.pk).limit(limit)).scalars())

    def retry(self, connection: Connection, pks: Sequence[str], now: float) -> int:
        """Make messages due with a fresh retry count; returns how many.

        Recipients that an earlier attempt reached are left out for good.
        """
        found = self._db.execute_rows(
            connection,
            "SELECT message.pk, message.recipient_results, message_payload.content FROM rows "
            "JOIN message ON message.pk = rows.pk "
            "JOIN message_payload ON message_payload.pk = rows.pk "
            f"WHERE message.partly_sent AND {_MAY_BE_RETRIED}",
            (("pk", "uuid"),),
            [(pk,) for pk in pks],
        )
        reached = {pk: _left(orjson.loads(results), content) for pk, results, content in found}
        again = [
            (pk, now, *reached.get(pk, (None, None)))
            for pk in pks
            if pk not in reached or reached[pk][0] != "[]"
        ]
        requeued = self._db.execute_rows(
            connection,
            "UPDATE message SET state = 'pending', due_at = rows.now, retries = 0, error = NULL, "
            "state_at = NULL, recipients_left = rows.recipients_left, "
            "recipient_results = rows.recipient_results "
            f"FROM rows WHERE message.pk = rows.pk AND {_MAY_BE_RETRIED} "
            "RETURNING message.pk, message.tenant_id, message.id, message.batch_code",
            _RETRIED,
            again,
        )
        self._after_retry(connection, requeued, now)
        return len(requeued)

    def _after_retry(self, connection: Connection, requeued: Iterable[Any], now: float) -> None:
        rows = sorted(requeued)
        self._events.append(
            connection,
            [NewEvent(pk, tenant_id, EventType.QUEUED, now, {}) for pk, tenant_id, _, _ in rows],
        )
        self._held.join(connection, [(t, id_, code) for _, t, id_, code in rows if code])


def _left(results: Sequence[dict[str, Any]], content: str) -> tuple[str | None, str | None]:
    """Return recipients that are left, and results of those reached, as stored JSON."""
    have = [r for r in results if r["status"] == RecipientStatus.SENT]
    if not have:
        return None, None
    done = {r["address"] for r in have}
    left = [address for address in load_mail(content).recipients if address not in done]
    return orjson.dumps(left).decode(), orjson.dumps(have).decode()
