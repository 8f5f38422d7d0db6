"""The queue's own statements: claim, outcome, lease. None of them runs once a message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from mail_proxy.domain.message import MessageState
from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.messages.events import MessageEventTable, NewEvent

_WAITING = "state IN ('pending', 'deferred')"
#: Stated as the partial index states it. What was suspended long ago is held, hence out of the
#: index; what was suspended just now is found there and left out by ``_NOT_SUSPENDED``.
_READY = f"{_WAITING} AND NOT held"
_CANDIDATE_READY = f"candidate.{_WAITING} AND NOT candidate.held"
#: Not NOT EXISTS: PostgreSQL would expect such a join to leave nothing, and read the whole table.
_NOT_SUSPENDED = (
    "coalesce((SELECT false FROM suspension WHERE suspension.tenant_id = candidate.tenant_id "
    "AND suspension.batch_code IN ('*', candidate.batch_code) LIMIT 1), true)"
)
_CLAIMED_COLUMNS = (
    "message.pk, message.tenant_id, message.id, message.account_pk, message.priority, "
    "message.due_at, message.created_at, message.size, message.retries, message.expires_at, "
    "message.batch_code, message.recipients_left, message.recipient_results"
)


@dataclass(slots=True)
class ClaimedMessage:
    """A message that this dispatcher alone may send, until its lease ends.

    ``content`` is the JSON text of the mail. ``recipients_left`` names the recipients still
    to be tried, None for all; ``recipient_results`` holds the final answers of earlier attempts.
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
    content: str = ""
    claimed_by: str = ""

    def has_expired(self, now: float) -> bool:
        """Whether it must not be sent at ``now`` (Unix seconds) any more."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(slots=True)
class StateChange:
    """What an attempt makes of a message that ``claimed_by`` holds; ``event`` goes with it.

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
    """A registered dispatcher; ``lease_until`` is by its own clock, in Unix seconds."""

    id: str
    host: str
    pid: int
    lease_until: float


class MessageQueue:
    """Claims and outcomes over ``message``, many rows a statement."""

    def __init__(self, db: SqlDb, events: MessageEventTable) -> None:
        self._db = db
        self._events = events

    def waiting_accounts(self, connection: Connection) -> list[str]:
        """Accounts with waiting messages; the cost grows with accounts, not with messages."""
        return _distinct_accounts(connection, _READY)

    def urgent_accounts(self, connection: Connection) -> list[str]:
        """Accounts with waiting messages of priority 0."""
        return _distinct_accounts(connection, f"{_READY} AND priority = 0")

    def came_due(self, connection: Connection, after: float, until: float, limit: int) -> set[str]:
        """Accounts of the first ``limit`` messages put off to between ``after`` and ``until``."""
        m = schema.message.c
        statement = select(m.account_pk).where(schema.LATER, m.due_at > after, m.due_at <= until)
        return set(connection.execute(statement.order_by(m.due_at).limit(limit)).scalars())

    def due(
        self,
        connection: Connection,
        account_pks: Sequence[str],
        priority: int,
        now: float,
        limit: int,
    ) -> list[ClaimedMessage]:
        """The first ``limit`` due messages of each account, locked and without content yet."""
        source = self._db.adapter.first_of_each(
            "message",
            f"candidate.account_pk = rows.account_pk AND candidate.priority = {int(priority)} "
            f"AND {_CANDIDATE_READY} AND candidate.due_at <= rows.now AND {_NOT_SUSPENDED}",
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
        """Mark messages of ``due`` as being sent by this dispatcher and read their content."""
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
            [(m.pk,) for m in messages],
        )
        by_pk = {row[0]: row[1] for row in contents}
        for message in messages:
            message.content = by_pk[message.pk]
            message.claimed_by = dispatcher_id

    def next_due_at(self, connection: Connection, after: float) -> float | None:
        """The earliest due time, later than ``after``, of what was put off; or None."""
        m = schema.message.c
        statement = select(m.due_at).where(schema.LATER, m.due_at > after)
        found = connection.execute(statement.order_by(m.due_at).limit(1)).scalar()
        return None if found is None else float(found)

    def record(self, connection: Connection, changes: Sequence[StateChange]) -> set[str]:
        """Write what became of claimed messages, with their events; returns the pks written.

        A message whose claim was lost is left alone, but for this: what was sent is sent, so
        one that has gone back to waiting is finished all the same.
        """
        written = self._db.execute_rows(
            connection,
            "UPDATE message SET state = rows.state, due_at = rows.due_at, "
            "retries = rows.retries, state_at = rows.state_at, error = rows.error, "
            "recipients_left = rows.recipients_left, "
            "recipient_results = rows.recipient_results, claimed_by = NULL, held = false "
            "FROM rows WHERE message.pk = rows.pk AND (message.claimed_by = rows.claimed_by "
            "OR (rows.state = 'sent' AND message.state IN ('pending', 'deferred'))) "
            "RETURNING message.pk",
            _CHANGE,
            [_change_row(change) for change in changes],
        )
        pks = {row[0] for row in written}
        self._events.append(connection, [c.event for c in changes if c.event and c.pk in pks])
        return pks

    def register(
        self,
        connection: Connection,
        dispatcher_id: str,
        host: str,
        pid: int,
        now: float,
        lease_until: float,
    ) -> None:
        """Announce a dispatcher; its claims hold while its lease does."""
        values = {"id": dispatcher_id, "host": host, "pid": pid, "started_at": now}
        connection.execute(insert(schema.dispatcher).values(**values, lease_until=lease_until))

    def renew(self, connection: Connection, dispatcher_id: str, lease_until: float) -> bool:
        """Push the lease forward; False when it was lost, and every claim with it."""
        d = schema.dispatcher
        statement = update(d).where(d.c.id == dispatcher_id).values(lease_until=lease_until)
        return connection.execute(statement).rowcount == 1

    def dispatchers(self, connection: Connection) -> list[Dispatching]:
        """All that are registered."""
        d = schema.dispatcher
        rows = connection.execute(select(d.c.id, d.c.host, d.c.pid, d.c.lease_until))
        return [Dispatching(*row) for row in rows]

    def rescue(self, connection: Connection, dead: Sequence[str]) -> list[tuple[str, str]]:
        """Give the messages of the ``dead`` dispatchers back, and of those that are unknown.

        Returns account pk and tenant id of each.
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

    def release(self, connection: Connection, messages: Sequence[ClaimedMessage]) -> None:
        """Give back messages that were claimed and not begun, as they were.

        Also where nobody knows whether the claim was committed: one that just is, is waited for.
        """
        m = schema.message.c
        named = select(m.pk).where(m.pk.in_([message.pk for message in messages]))
        connection.execute(named.order_by(m.pk).with_for_update())
        self._db.execute_rows(
            connection,
            "UPDATE message SET claimed_by = NULL, "
            "state = CASE WHEN message.retries > 0 THEN 'deferred' ELSE 'pending' END "
            "FROM rows WHERE message.pk = rows.pk AND message.claimed_by = rows.claimed_by",
            (("pk", "uuid"), ("claimed_by", "uuid")),
            [(m.pk, m.claimed_by) for m in messages],
        )

    def unregister(self, connection: Connection, dispatcher_id: str) -> None:
        """Forget a dispatcher; what it holds is for ``rescue``."""
        connection.execute(delete(schema.dispatcher).where(schema.dispatcher.c.id == dispatcher_id))

    def hand_back(self, connection: Connection, dispatcher_id: str) -> int:
        """Leave: unregister, and give back whatever was claimed and is not sent."""
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
    """By stepping from one account to the next through an index that begins with them."""
    first = f"SELECT account_pk FROM message WHERE {where}"
    result = connection.exec_driver_sql(
        f"WITH RECURSIVE found(pk) AS (SELECT ({first} ORDER BY account_pk LIMIT 1) UNION ALL "
        f"SELECT ({first} AND account_pk > found.pk ORDER BY account_pk LIMIT 1) "
        "FROM found WHERE found.pk IS NOT NULL) SELECT pk FROM found WHERE pk IS NOT NULL"
    )
    return list(result.scalars())


_CHANGE: Shape = (
    ("pk", "uuid"),
    ("state", "text"),
    ("due_at", "double precision"),
    ("retries", "integer"),
    ("state_at", "double precision"),
    ("error", "text"),
    ("recipients_left", "text"),
    ("recipient_results", "text"),
    ("claimed_by", "uuid"),
)


def _claimed(row: Any) -> ClaimedMessage:
    values: list[Any] = [*row[:-2], _loads(row[-2]), _loads(row[-1])]
    return ClaimedMessage(*values)


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
        change.claimed_by,
    )


def _dumps(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _loads(value: str | None) -> Any:
    return None if value is None else orjson.loads(value)
