"""Statements of the queue: claim, outcome, lease, each for many messages at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, delete, insert, select, text, update

from mail_proxy.domain.message import MessageState
from mail_proxy.domain.outcome import RecipientStatus
from mail_proxy.sql import conditions, schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.messages.events import MessageEventTable, NewEvent
from mail_proxy.sql.messages.large_content import LONGEST_STR_BYTES

#: Leaves out messages that were suspended a moment ago; later they are held, hence not ready.
#: Not NOT EXISTS: PostgreSQL would expect such a join to leave nothing, and read the whole table.
_NOT_SUSPENDED = (
    "coalesce((SELECT false FROM suspension WHERE suspension.tenant_id = candidate.tenant_id "
    "AND suspension.batch_code IN ('*', candidate.batch_code) LIMIT 1), true)"
)
_LATER = text(conditions.later())
_CLAIMED_COLUMNS = (
    "message.pk, message.tenant_id, message.id, message.account_pk, message.priority, "
    "message.due_at, message.created_at, message.size, message.retries, message.expires_at, "
    "message.batch_code, message.recipients_left, message.recipient_results"
)


@dataclass(slots=True)
class ClaimedMessage:
    """A message that this dispatcher alone may send, until its lease ends.

    ``content`` is the stored mail, as UTF-8 if it is large, and ``size`` its length in bytes:
    budgets bound with it how much memory claimed messages take. ``recipients_left`` names the
    recipients still to be tried, None for all; ``recipient_results`` holds the answers of earlier
    attempts.
    """

    pk: str
    tenant_id: str
    id: str
    account_pk: str
    priority: int
    due_at: float
    created_at: float
    size: int
    retries: int
    expires_at: float | None
    batch_code: str | None
    recipients_left: list[str] | None
    recipient_results: list[dict[str, Any]] | None
    content: str | bytearray = ""
    claimed_by: str = ""

    def has_expired(self, now: float) -> bool:
        """Return whether it must no longer be sent at ``now`` (Unix seconds)."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(slots=True)
class StateChange:
    """The new state of a message that ``claimed_by`` holds, with its event.

    ``attempted``: the server was asked, which counts against rate limits.
    """

    pk: str
    claimed_by: str
    account_pk: str
    tenant_id: str
    state: MessageState
    due_at: float
    retries: int
    state_at: float
    error: str | None
    recipients_left: list[str] | None
    recipient_results: list[dict[str, Any]] | None
    event: NewEvent | None
    attempted: bool = False


class Dispatching(NamedTuple):
    """A registered dispatcher; ``lease_until`` is Unix seconds by its own clock."""

    id: str
    host: str
    pid: int
    lease_until: float


class MessageQueue:
    """Claims messages, writes their outcomes, and keeps the dispatchers' leases."""

    def __init__(self, db: SqlDb, events: MessageEventTable) -> None:
        self._db = db
        self._events = events

    def waiting_accounts(self, connection: Connection) -> list[str]:
        """Return accounts with waiting messages, at a cost that grows with accounts only."""
        return _distinct_accounts(connection, conditions.ready())

    def urgent_accounts(self, connection: Connection) -> list[str]:
        """Return accounts with waiting messages of priority 0."""
        return _distinct_accounts(connection, conditions.urgent())

    def came_due(self, connection: Connection, after: float, until: float, limit: int) -> set[str]:
        """Return accounts of messages put off to between ``after`` and ``until``.

        Of the first ``limit`` such messages.
        """
        m = schema.message.c
        statement = select(m.account_pk).where(_LATER, m.due_at > after, m.due_at <= until)
        return set(connection.execute(statement.order_by(m.due_at).limit(limit)).scalars())

    def due(
        self,
        connection: Connection,
        account_pks: Sequence[str],
        priority: int,
        now: float,
        limit: int,
    ) -> list[ClaimedMessage]:
        """Lock and return due messages, up to ``limit`` of each account, without content."""
        source = self._db.adapter.first_of_each(
            "message",
            f"candidate.account_pk = rows.account_pk AND candidate.priority = {int(priority)} "
            f"AND {conditions.ready('candidate')} AND candidate.due_at <= rows.now "
            f"AND {_NOT_SUSPENDED}",
            "candidate.due_at, candidate.pk",
            int(limit),
        )
        rows = self._db.execute_rows(
            connection,
            f"SELECT {_CLAIMED_COLUMNS} {source}",
            (("account_pk", "uuid"), ("now", "double precision")),
            [(pk, now) for pk in account_pks],
        )
        return [_claimed(row) for row in rows]

    def claim(
        self, connection: Connection, dispatcher_id: str, messages: Sequence[ClaimedMessage]
    ) -> None:
        """Mark messages of ``due`` as claimed by this dispatcher; read their content."""
        self._db.execute_rows(
            connection,
            "UPDATE message SET state = 'sending', claimed_by = rows.claimed_by FROM rows "
            "WHERE message.pk = rows.pk",
            (("pk", "uuid"), ("claimed_by", "uuid")),
            [(m.pk, dispatcher_id) for m in messages],
        )
        contents = self._db.execute_rows(
            connection,
            "SELECT message_payload.pk, message_payload.content FROM rows "
            "JOIN message_payload ON message_payload.pk = rows.pk",
            (("pk", "uuid"),),
            [(m.pk,) for m in messages if m.size <= LONGEST_STR_BYTES],
        )
        by_pk = {row[0]: row[1] for row in contents}
        for message in messages:
            message.content = (
                by_pk[message.pk]
                if message.size <= LONGEST_STR_BYTES
                else self._db.read_large(connection, "message_payload", "content", message.pk)
            )
            message.claimed_by = dispatcher_id

    def next_due_at(self, connection: Connection, after: float) -> float | None:
        """Return the earliest due time later than ``after`` of put-off messages, or None."""
        m = schema.message.c
        statement = select(m.due_at).where(_LATER, m.due_at > after)
        found = connection.execute(statement.order_by(m.due_at).limit(1)).scalar()
        return None if found is None else float(found)

    def record(self, connection: Connection, changes: Sequence[StateChange]) -> set[str]:
        """Write outcomes of claimed messages, with their events; returns the pks written.

        A message whose claim was lost is left alone, with one exception: if it was sent and waits
        in the queue again, it is finished all the same.
        """
        usual = [_sent_row(change) for change in changes if _is_usual(change)]
        pks = self._db.change_rows(connection, _SENT, _SENT_SHAPE, usual)
        if len(pks) < len(changes):
            pks |= self._record_each(connection, [c for c in changes if c.pk not in pks])
        self._events.append(connection, [c.event for c in changes if c.event and c.pk in pks])
        return pks

    def _record_each(self, connection: Connection, changes: Sequence[StateChange]) -> set[str]:
        written = self._db.execute_rows(
            connection,
            "UPDATE message SET state = rows.state, due_at = rows.due_at, "
            "retries = rows.retries, state_at = rows.state_at, error = rows.error, "
            "recipients_left = rows.recipients_left, "
            "recipient_results = rows.recipient_results, partly_sent = rows.partly_sent, "
            "claimed_by = NULL, held = false "
            "FROM rows WHERE message.pk = rows.pk AND (message.claimed_by = rows.claimed_by "
            f"OR (rows.state = 'sent' AND {conditions.waiting()})) "
            "RETURNING message.pk",
            _CHANGE,
            [_change_row(change) for change in changes],
        )
        return {row[0] for row in written}

    def register(
        self,
        connection: Connection,
        dispatcher_id: str,
        host: str,
        pid: int,
        now: float,
        lease_until: float,
    ) -> None:
        """Register a dispatcher; its claims hold as long as its lease."""
        values = {"id": dispatcher_id, "host": host, "pid": pid, "started_at": now}
        connection.execute(insert(schema.dispatcher).values(**values, lease_until=lease_until))

    def renew(self, connection: Connection, dispatcher_id: str, lease_until: float) -> bool:
        """Extend the lease; return False if it was lost, and every claim with it."""
        d = schema.dispatcher
        statement = update(d).where(d.c.id == dispatcher_id).values(lease_until=lease_until)
        return connection.execute(statement).rowcount == 1

    def dispatchers(self, connection: Connection) -> list[Dispatching]:
        """Return all registered dispatchers."""
        d = schema.dispatcher
        rows = connection.execute(select(d.c.id, d.c.host, d.c.pid, d.c.lease_until))
        return [Dispatching(*row) for row in rows]

    def rescue(self, connection: Connection, dead: Sequence[str]) -> list[tuple[str, str]]:
        """Return messages of ``dead`` and of unknown dispatchers to the queue.

        Returns account pk and tenant id of each message.
        """
        d = schema.dispatcher
        if dead:
            connection.execute(delete(d).where(d.c.id.in_(dead)))
        result = connection.exec_driver_sql(
            "UPDATE message SET claimed_by = NULL, "
            "state = CASE WHEN retries > 0 THEN 'deferred' ELSE 'pending' END "
            "WHERE state = 'sending' AND claimed_by NOT IN (SELECT id FROM dispatcher) "
            "RETURNING account_pk, tenant_id"
        )
        return [(row.account_pk, row.tenant_id) for row in result]

    def begin(self, connection: Connection, message: ClaimedMessage) -> None:
        """Count an attempt at a claimed message; ``message`` keeps the count before it."""
        m = schema.message.c
        held = (m.pk == message.pk) & (m.claimed_by == message.claimed_by)
        connection.execute(update(schema.message).where(held).values(retries=message.retries + 1))

    def release(self, connection: Connection, messages: Sequence[ClaimedMessage]) -> None:
        """Return messages that were claimed and not begun to the queue, as they were.

        It also undoes a claim of which it is unknown whether it was committed: a commit that is
        still under way is waited for.
        """
        m = schema.message.c
        named = select(m.pk).where(m.pk.in_([message.pk for message in messages]))
        connection.execute(named.order_by(m.pk).with_for_update())
        self._db.execute_rows(
            connection,
            "UPDATE message SET claimed_by = NULL, retries = rows.retries, "
            "state = CASE WHEN rows.retries > 0 THEN 'deferred' ELSE 'pending' END "
            "FROM rows WHERE message.pk = rows.pk AND message.claimed_by = rows.claimed_by",
            (("pk", "uuid"), ("claimed_by", "uuid"), ("retries", "integer")),
            [(m.pk, m.claimed_by, m.retries) for m in messages],
        )

    def unregister(self, connection: Connection, dispatcher_id: str) -> None:
        """Remove a dispatcher; ``rescue`` returns its messages to the queue."""
        connection.execute(delete(schema.dispatcher).where(schema.dispatcher.c.id == dispatcher_id))

    def hand_back(self, connection: Connection, dispatcher_id: str) -> int:
        """Unregister a dispatcher and return its unsent messages; returns how many."""
        self.unregister(connection, dispatcher_id)
        return len(
            self._db.execute_rows(
                connection,
                "UPDATE message SET claimed_by = NULL, "
                "state = CASE WHEN message.retries > 0 THEN 'deferred' ELSE 'pending' END "
                "FROM rows WHERE message.claimed_by = rows.id AND message.state = 'sending' "
                "RETURNING message.pk",
                (("id", "uuid"),),
                [(dispatcher_id,)],
            )
        )


def _distinct_accounts(connection: Connection, where: str) -> list[str]:
    """Return accounts by stepping from one to the next through a partial index."""
    first = f"SELECT message.account_pk FROM message WHERE {where}"
    result = connection.exec_driver_sql(
        f"WITH RECURSIVE found(pk) AS (SELECT ({first} ORDER BY account_pk LIMIT 1) UNION ALL "
        f"SELECT ({first} AND account_pk > found.pk ORDER BY account_pk LIMIT 1) "
        "FROM found WHERE found.pk IS NOT NULL) SELECT pk FROM found WHERE pk IS NOT NULL"
    )
    return list(result.scalars())


#: The usual outcome: sent to all recipients at the first attempt.
_SENT = (
    "UPDATE message SET state = 'sent', retries = rows.retries, state_at = rows.state_at, "
    "error = NULL, recipients_left = NULL, recipient_results = NULL, partly_sent = false, "
    "claimed_by = NULL FROM rows "
    "WHERE message.pk = rows.pk AND message.claimed_by = rows.claimed_by"
)
_SENT_SHAPE: Shape = (
    ("pk", "uuid"),
    ("retries", "integer"),
    ("state_at", "double precision"),
    ("claimed_by", "uuid"),
)
_CHANGE: Shape = (
    ("pk", "uuid"),
    ("state", "text"),
    ("due_at", "double precision"),
    ("retries", "integer"),
    ("state_at", "double precision"),
    ("error", "text"),
    ("recipients_left", "text"),
    ("recipient_results", "text"),
    ("partly_sent", "boolean"),
    ("claimed_by", "uuid"),
)


def _claimed(row: Any) -> ClaimedMessage:
    values: list[Any] = [*row[:-2], _loads(row[-2]), _loads(row[-1])]
    return ClaimedMessage(*values)


def _is_usual(change: StateChange) -> bool:
    is_sent = change.state is MessageState.SENT
    return is_sent and change.recipient_results is None and change.error is None


def _sent_row(change: StateChange) -> tuple[Any, ...]:
    return (change.pk, change.retries, change.state_at, change.claimed_by)


def _change_row(change: StateChange) -> tuple[Any, ...]:
    return (
        change.pk,
        change.state,
        change.due_at,
        change.retries,
        change.state_at,
        change.error,
        _dumps(change.recipients_left),
        _dumps(change.recipient_results),
        _is_partly_sent(change),
        change.claimed_by,
    )


def _is_partly_sent(change: StateChange) -> bool:
    results = change.recipient_results
    return results is not None and any(r["status"] == RecipientStatus.SENT for r in results)


def _dumps(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _loads(value: str | None) -> Any:
    return None if value is None else orjson.loads(value)
