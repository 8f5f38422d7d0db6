"""End waiting messages in error without another attempt, many at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from mail_proxy.sql import conditions, schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.messages.events import MessageEventTable, NewEvent
from mail_proxy.sql.messages.queue import MessageQueue

_OF_ACCOUNT = "candidate.account_pk = rows.account_pk"
#: One statement for each partial index: a condition over both would use neither.
_READY = f"{_OF_ACCOUNT} AND {conditions.ready('candidate')}"
_HELD = (
    f"{_OF_ACCOUNT} AND {conditions.held('candidate')} AND candidate.tenant_id = "
    "(SELECT tenant_id FROM account WHERE account.pk = rows.account_pk)"
)
_READY_ORDER = "candidate.priority, candidate.due_at, candidate.pk"
_HELD_ORDER = f"candidate.batch_code, {_READY_ORDER}"
_ENDED: Shape = (("pk", "uuid"), ("reason", "text"), ("now", "double precision"))


class GivenUpMessages:
    """Ends up to ``limit`` waiting messages a call, with the event that reports it."""

    def __init__(self, db: SqlDb, queue: MessageQueue, events: MessageEventTable) -> None:
        self._db = db
        self._queue = queue
        self._events = events

    def of_account(
        self, connection: Connection, account_pk: str, reason: str, now: float, limit: int
    ) -> int:
        """End messages that wait for an account; returns how many."""
        ended = 0
        ready, held = (_READY, _READY_ORDER), (_HELD, _HELD_ORDER)
        # Ready ones twice: a message that is just being released may be missed by the first two.
        for where, order_by in (ready, held, ready):
            found = self._first(connection, where, order_by, account_pk, now, limit - ended)
            ended += self._end(connection, found, reason, now)
        return ended

    def overdue(
        self,
        connection: Connection,
        account_pk: str,
        reason: str,
        cutoff: float,
        now: float,
        limit: int,
    ) -> int:
        """End messages due before ``cutoff`` (Unix seconds) that wait for an account."""
        where = f"{_READY} AND candidate.due_at < rows.cutoff"
        found = self._first(connection, where, _READY_ORDER, account_pk, cutoff, limit)
        return self._end(connection, found, reason, now)

    def orphaned(self, connection: Connection) -> list[tuple[str, str, str]]:
        """Return removed accounts that still have waiting messages: pk, tenant, id.

        A message that was being sent when its account was removed may come back later.
        """
        a = schema.account.c
        waiting = self._queue.waiting_accounts(connection)
        gone = select(a.pk, a.tenant_id, a.id).where(a.pk.in_(waiting), a.deleted_at.is_not(None))
        return [tuple(row) for row in connection.execute(gone)]

    def _first(
        self,
        connection: Connection,
        where: str,
        order_by: str,
        account_pk: str,
        cutoff: float,
        limit: int,
    ) -> list[str]:
        source = self._db.adapter.first_of_each("message", where, order_by, limit, waits=True)
        rows = self._db.execute_rows(
            connection,
            f"SELECT message.pk {source}",
            (("account_pk", "uuid"), ("cutoff", "double precision")),
            [(account_pk, cutoff)],
        )
        return [row[0] for row in rows]

    def _end(self, connection: Connection, pks: list[str], reason: str, now: float) -> int:
        ended: list[Any] = self._db.execute_rows(
            connection,
            "UPDATE message SET state = 'error', held = false, error = rows.reason, "
            "state_at = rows.now FROM rows WHERE message.pk = rows.pk "
            "RETURNING message.pk, message.tenant_id, message.account_pk",
            _ENDED,
            [(pk, reason, now) for pk in pks],
        )
        data = {"error": reason, "code": None}
        self._events.append(
            connection,
            [NewEvent(pk, owner, account, "error", now, data) for pk, owner, account in ended],
        )
        return len(ended)
