"""Add, replace, count and remove messages, as clients ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, select, text, tuple_

from mail_proxy.domain.message import WAITING, EventType, MessageState
from mail_proxy.errors import ConstraintViolated
from mail_proxy.sql import conditions, schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.hourly_counts import HourlyCounts
from mail_proxy.sql.messages.large_content import LONGEST_STR_BYTES, LargeContent, is_same_text
from mail_proxy.sql.messages.listing import detail
from mail_proxy.sql.messages.new_message import (
    INSERT,
    MESSAGE,
    PAYLOAD,
    NewMessage,
    message_row,
)
from mail_proxy.sql.messages.suspended import SuspendedMessages
from mail_proxy.sql.table import EVERY_TENANT, EveryTenant, Row, Table

__all__ = ["Added", "MessagesTable", "NewMessage", "Stored"]

_HEAD: Shape = (("pk", "uuid"), ("content", "text"))
_IDENTITY: Shape = (("tenant_id", "text"), ("id", "text"))


class Stored(StrEnum):
    """A message that was stored: under a new id, or in the place of a waiting one."""

    QUEUED = "queued"
    REPLACED = "replaced"


#: What became of a message; a state: its id was there already in this state, and stays as it is.
Added = Stored | MessageState
_Identity = tuple[str, str]
#: Another process may remove a message between the two looks at its id, but not for ever.
_ATTEMPTS = 3


#: By tenant, because that is how the index begins; SQLite takes a CROSS JOIN in the order given.
_COUNT_ALL = (
    "SELECT count(*) FROM tenant CROSS JOIN message WHERE message.tenant_id = tenant.id "
    f"AND {conditions.unfinished()}"
)
_COUNT = text(_COUNT_ALL)
_COUNT_OF_TENANT = text(f"{_COUNT_ALL} AND tenant.id = :tenant_id")
_LOAD_OF_TENANT = text(
    "SELECT count(*), coalesce(sum(size), 0) FROM message WHERE tenant_id = :tenant_id "
    f"AND {conditions.unfinished()}"
)
#: One count for each partial index; a condition over all of them would use none.
_OF_BATCH = "SELECT count(*) FROM message WHERE tenant_id = :tenant_id AND batch_code = :batch_code"
_COUNT_OF_BATCH = text(
    f"SELECT ({_OF_BATCH} AND {conditions.ready_of_batch()}) "
    f"+ ({_OF_BATCH} AND {conditions.held()}) + ({_OF_BATCH} AND {conditions.sending()})"
)


class MessagesTable(Table):
    """The table of messages, with the payload of each."""

    schema = schema.message

    def __init__(self, db: SqlDb, key: bytes, counts: HourlyCounts) -> None:
        super().__init__(key)
        self._db = db
        self._counts = counts
        self._held = SuspendedMessages(db)

    def add(self, connection: Connection, messages: Sequence[NewMessage]) -> list[Added]:
        """Store many messages with a handful of statements; one result each, in order.

        A message with the (tenant, id) of a waiting one replaces it if anything differs. A
        message that is being sent, partly sent or finished stays as it is. If one call has the
        same id twice, the later message counts. Raises ConstraintViolated if other processes
        keep removing the same messages.
        """
        last = {(m.tenant_id, m.id): m for m in messages}
        results = self._add_each(connection, last)
        self._held.join(
            connection, [(m.tenant_id, m.id, m.batch_code) for m in last.values() if m.batch_code]
        )
        if len(last) < len(messages):
            return _in_turn(messages, results)
        return list(results.values())

    def _add_each(
        self, connection: Connection, messages: dict[_Identity, NewMessage]
    ) -> dict[_Identity, Added]:
        results: dict[_Identity, Added] = dict.fromkeys(messages, Stored.QUEUED)
        rest = messages
        for _ in range(_ATTEMPTS):
            fresh = self._insert_new(connection, list(rest.values()))
            if len(fresh) == len(rest):
                return results
            there = {i: m for i, m in rest.items() if m.pk not in fresh}
            known = self._replace_waiting(connection, there)
            results.update(known)
            rest = {i: m for i, m in there.items() if i not in known}
        if rest:
            raise ConstraintViolated("messages with the same id were removed at the same time")
        return results

    def _insert_new(self, connection: Connection, messages: list[NewMessage]) -> set[str]:
        rows = [message_row(m) for m in messages]
        fresh = self._db.change_rows(connection, INSERT, MESSAGE, rows)
        new = messages if len(fresh) == len(messages) else [m for m in messages if m.pk in fresh]
        self._db.insert_rows(
            connection,
            "message_payload",
            PAYLOAD,
            [(m.pk, m.recipients, m.subject, m.content) for m in new if type(m.content) is str],
        )
        # No event says ``queued``: ``MessageEventTable.history`` adds it.
        self._insert_heads(connection, [(m.pk, m) for m in new])
        self._counts.add(
            connection, [(m.tenant_id, m.account_pk, m.created_at, EventType.QUEUED) for m in new]
        )
        return fresh

    def _insert_heads(
        self, connection: Connection, messages: Sequence[tuple[str, NewMessage]]
    ) -> None:
        """Insert the heads of large messages, and the payloads of those in pieces."""
        heads = [(pk, m.head.replace(m.pk, pk)) for pk, m in messages if m.head is not None]
        if not heads:
            return
        self._db.insert_rows(connection, "message_head", _HEAD, heads)
        for pk, m in messages:
            if isinstance(m.content, LargeContent):
                pieces = m.content.replace(m.pk, pk).pieces
                row = (pk, m.recipients, m.subject)
                self._db.insert_large(connection, "message_payload", PAYLOAD, row, pieces)

    def _log_replaced(
        self, connection: Connection, messages: Sequence[tuple[str, NewMessage]]
    ) -> None:
        self._db.insert_rows(
            connection,
            "message_event",
            (
                ("message_pk", "uuid"),
                ("tenant_id", "text"),
                ("event_type", "text"),
                ("event_at", "double precision"),
            ),
            [(pk, m.tenant_id, EventType.QUEUED, m.created_at) for pk, m in messages],
        )

    def _replace_waiting(
        self, connection: Connection, messages: dict[_Identity, NewMessage]
    ) -> dict[_Identity, Added]:
        """Replace the waiting messages that differ; return what became of each known id."""
        known = self._known(connection, list(messages))
        results: dict[_Identity, Added] = {i: MessageState(row.state) for i, row in known.items()}
        others = [
            messages[i]
            for i, row in known.items()
            if row.state in WAITING and not self._is_same(connection, messages[i], row)
        ]
        if not others:
            return results
        replaced = self._replace(connection, others)
        results.update(dict.fromkeys(replaced, Stored.REPLACED))
        left = [i for m in others if (i := (m.tenant_id, m.id)) not in replaced]
        states = self.states(connection, left)  # claimed, partly sent or removed meanwhile
        for identity in left:
            del results[identity]
        return {**results, **states}

    def _is_same(self, connection: Connection, message: NewMessage, known: _Known) -> bool:
        if known.content is None and known.size == message.size:
            stored = self._db.read_large(connection, "message_payload", "content", known.pk)
            known.content = LargeContent((stored,))
        return _is_same(message, known)

    def _known(
        self, connection: Connection, identities: Sequence[_Identity]
    ) -> dict[_Identity, Any]:
        found = self._db.execute_rows(
            connection,
            "SELECT message.tenant_id, message.id, message.pk, message.state, message.account_pk, "
            "message.priority, message.batch_code, message.expires_at, message.size, "
            f"CASE WHEN message.size <= {LONGEST_STR_BYTES} THEN message_payload.content END "
            "FROM rows JOIN message ON message.tenant_id = rows.tenant_id AND message.id = rows.id "
            "JOIN message_payload ON message_payload.pk = message.pk",
            _IDENTITY,
            identities,
        )
        return {(row[0], row[1]): _Known(*row[2:]) for row in found}

    def _replace(
        self, connection: Connection, messages: Sequence[NewMessage]
    ) -> dict[_Identity, str]:
        """Replace messages that still wait; return their pks by tenant and id."""
        replaced = self._db.execute_rows(
            connection,
            "UPDATE message SET account_pk = rows.account_pk, priority = rows.priority, "
            "state = 'pending', due_at = rows.due_at, size = rows.size, retries = 0, "
            "batch_code = rows.batch_code, expires_at = rows.expires_at, "
            "client_message_id = rows.client_message_id, state_at = NULL, error = NULL, "
            "held = false, recipients_left = NULL, recipient_results = NULL "
            "FROM rows WHERE message.tenant_id = rows.tenant_id AND message.id = rows.id "
            f"AND {conditions.waiting()} AND NOT message.partly_sent "
            "RETURNING message.pk, message.tenant_id, message.id",
            MESSAGE,
            [message_row(m) for m in messages],
        )
        pks = {(tenant_id, id_): pk for pk, tenant_id, id_ in replaced}
        renewed = [(pks[m.tenant_id, m.id], m) for m in messages if (m.tenant_id, m.id) in pks]
        self._db.execute_rows(
            connection,
            "UPDATE message_payload SET recipients = rows.recipients, subject = rows.subject, "
            "content = rows.content FROM rows WHERE message_payload.pk = rows.pk",
            PAYLOAD,
            [
                (pk, m.recipients, m.subject, m.content.replace(m.pk, pk))
                for pk, m in renewed
                if isinstance(m.content, str)
            ],
        )
        self._db.execute_rows(
            connection,
            "DELETE FROM message_payload WHERE pk IN (SELECT pk FROM rows)",
            (("pk", "uuid"),),
            [(pk,) for pk, m in renewed if not isinstance(m.content, str)],
        )
        self._db.execute_rows(
            connection,
            "DELETE FROM message_head WHERE pk IN (SELECT pk FROM rows)",
            (("pk", "uuid"),),
            [(pk,) for pk, _ in renewed],
        )
        self._insert_heads(connection, renewed)
        self._log_replaced(connection, renewed)
        return pks

    def states(
        self, connection: Connection, identities: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], MessageState]:
        """Return the state of each (tenant, id) that exists."""
        found = self._db.execute_rows(
            connection,
            "SELECT message.tenant_id, message.id, message.state FROM rows JOIN message "
            "ON message.tenant_id = rows.tenant_id AND message.id = rows.id",
            _IDENTITY,
            identities,
        )
        return {(tenant_id, id_): MessageState(state) for tenant_id, id_, state in found}

    def remove_waiting_or_done(
        self, connection: Connection, tenant_id: str, ids: Sequence[str]
    ) -> set[str]:
        """Remove messages that are not being sent; returns their ids."""
        removed = self._db.execute_rows(
            connection,
            "DELETE FROM message WHERE state <> 'sending' AND (tenant_id, id) IN "
            "(SELECT tenant_id, id FROM rows) RETURNING id",
            _IDENTITY,
            [(tenant_id, id_) for id_ in ids],
        )
        return {row[0] for row in removed}

    def elsewhere(self, connection: Connection, tenant_id: str, ids: Sequence[str]) -> set[str]:
        """Return which of ``ids`` exist in another tenant."""
        found = self._db.execute_rows(
            connection,
            # By tenant too, because that is how the index begins.
            "SELECT message.id FROM rows CROSS JOIN tenant CROSS JOIN message "
            "WHERE message.tenant_id = tenant.id AND message.id = rows.id "
            "AND tenant.id <> rows.tenant_id",
            _IDENTITY,
            [(tenant_id, id_) for id_ in ids],
        )
        return {row[0] for row in found}

    def tenants_with(self, connection: Connection, message_id: str, limit: int) -> list[str]:
        """Return the first tenants, by name, that have a message with this id."""
        m, t = self.schema.c, schema.tenant.c
        # From tenant to tenant, because the index begins with the tenant.
        theirs = select(m.pk).where(m.tenant_id == t.id, m.id == message_id).exists()
        statement = select(t.id).where(theirs).order_by(t.id).limit(limit)
        return list(connection.execute(statement).scalars())

    def detail(self, connection: Connection, tenant_id: str, message_id: str) -> Row | None:
        """Return one message with account id and content, or None."""
        m = self.schema.c
        statement = detail().where(m.tenant_id == tenant_id, m.id == message_id)
        row = connection.execute(statement).first()
        return None if row is None else dict(row._mapping)

    def count_waiting(
        self,
        connection: Connection,
        tenant_id: str | EveryTenant,
        batch_code: str | None = None,
    ) -> int:
        """Count messages that are not finished: waiting, held back or being sent.

        Reads a whole range of an index: about 0.5 s for a million.
        """
        if batch_code is not None:
            statement = _COUNT_OF_BATCH
        else:
            statement = _COUNT if tenant_id is EVERY_TENANT else _COUNT_OF_TENANT
        values = {"tenant_id": tenant_id, "batch_code": batch_code}
        return int(connection.execute(statement, values).scalar_one())

    def load(self, connection: Connection, tenant_id: str) -> tuple[int, int]:
        """Return the number of a tenant's unfinished messages, and their size in bytes.

        Reads each of these rows: about 2 s for a million on SQLite.
        """
        count, size = connection.execute(_LOAD_OF_TENANT, {"tenant_id": tenant_id}).one()
        return int(count), int(size)

    def places(
        self, connection: Connection, tenant_id: str, after: tuple[str, str] | None, limit: int
    ) -> list[tuple[str, str]]:
        """Return (state, pk) of the tenant's messages behind ``after``, in this order."""
        m = self.schema.c
        statement = select(m.state, m.pk).where(m.tenant_id == tenant_id)
        if after is not None:
            statement = statement.where(
                tuple_(m.state, m.pk) > tuple_(*after, types=(m.state.type, m.pk.type))
            )
        rows = connection.execute(statement.order_by(m.state, m.pk).limit(limit))
        return [(state, pk) for state, pk in rows]

    def remove(self, connection: Connection, pks: Sequence[str]) -> int:
        """Remove messages with payload and events; returns how many."""
        return len(
            self._db.execute_rows(
                connection,
                "DELETE FROM message WHERE pk IN (SELECT pk FROM rows) RETURNING pk",
                (("pk", "uuid"),),
                [(pk,) for pk in pks],
            )
        )

    def remove_of_tenant(self, connection: Connection, tenant_id: str) -> None:
        """Remove every message of a tenant in one statement, however long it takes."""
        connection.execute(delete(self.schema).where(self.schema.c.tenant_id == tenant_id))


@dataclass(slots=True)
class _Known:
    """Stored message with the id of a new one; a large content is not read yet."""

    pk: str
    state: str
    account_pk: str
    priority: int
    batch_code: str | None
    expires_at: float | None
    size: int
    content: str | LargeContent | None


def _is_same(message: NewMessage, known: NewMessage | _Known) -> bool:
    return (
        message.account_pk == known.account_pk
        and message.priority == known.priority
        and message.batch_code == known.batch_code
        and message.expires_at == known.expires_at
        # With the Message-ID that the proxy makes for the known one.
        and is_same_text(message.content.replace(message.pk, known.pk), known.content)
    )


def _in_turn(messages: Sequence[NewMessage], results: dict[_Identity, Added]) -> list[Added]:
    """Return the results as if the messages had been stored one after the other."""
    before: dict[_Identity, NewMessage] = {}
    added: list[Added] = []
    for message in messages:
        identity = message.tenant_id, message.id
        earlier, result = before.get(identity), results[identity]
        if earlier is not None and isinstance(result, Stored):
            result = MessageState.PENDING if _is_same(message, earlier) else Stored.REPLACED
        added.append(result)
        before[identity] = message
    return added
