"""Put failed messages back into the queue, and make deferred ones due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, and_, func, select

from mail_proxy.domain.message import EventType, MessageState
from mail_proxy.domain.outcome import RecipientStatus
from mail_proxy.sql import schema
from mail_proxy.sql.adapters import Shape
from mail_proxy.sql.db import SqlDb
from mail_proxy.sql.messages.events import MessageEventTable, NewEvent
from mail_proxy.sql.messages.listing import contains
from mail_proxy.sql.messages.mail_codec import load_mail
from mail_proxy.sql.messages.suspended import SuspendedMessages

_ACCOUNT_EXISTS = (
    "EXISTS (SELECT 1 FROM account "
    "WHERE account.pk = message.account_pk AND account.deleted_at IS NULL)"
)
_MAY_BE_RETRIED = f"message.state = 'error' AND {_ACCOUNT_EXISTS}"
_RETRIED: Shape = (
    ("pk", "uuid"),
    ("now", "double precision"),
    ("recipients_left", "text"),
    ("recipient_results", "text"),
)
#: Messages that one page of a filter examines.
_PAGE = 5000
#: Ids in one statement. SQLite takes 32 766 values at most.
_IDS = 1000
_m, _account = schema.message.c, schema.account.c


@dataclass(frozen=True, slots=True)
class RetryFilter:
    """Filter of one tenant's failed messages. Every part that is not None has to hold.

    The message was taken in at ``created_from`` or later, and before ``created_before`` (Unix
    seconds).
    ``error_like`` is a part of the error's text, whatever its case. With ``deferred``, messages
    that are deferred pass as well.
    """

    tenant_id: str
    account_id: str | None = None
    batch_code: str | None = None
    created_from: float | None = None
    created_before: float | None = None
    error_like: str | None = None
    deferred: bool = False

    @property
    def states(self) -> tuple[MessageState, ...]:
        """The states that pass."""
        return (MessageState.ERROR, *([MessageState.DEFERRED] if self.deferred else []))


@dataclass(frozen=True, slots=True)
class NamedMessage:
    """A message that a retry names by its id: is it failed, and does the filter fit?"""

    id: str
    pk: str
    failed: bool
    fits: bool


class RetriedMessages:
    """Retries messages in state ``error`` whose account still exists."""

    def __init__(self, db: SqlDb, events: MessageEventTable) -> None:
        self._db = db
        self._events = events
        self._held = SuspendedMessages(db)

    def named(
        self, connection: Connection, wanted: RetryFilter, ids: Sequence[str]
    ) -> list[NamedMessage]:
        """Return the messages that have these ids, oldest first."""
        found = []
        selected = select(_m.id, _m.pk, _is_failed(wanted), _fits(wanted))
        for start in range(0, len(ids), _IDS):
            these = _m.id.in_(ids[start : start + _IDS])
            rows = connection.execute(selected.where(_m.tenant_id == wanted.tenant_id, these))
            found += [NamedMessage(i, pk, bool(failed), bool(fits)) for i, pk, failed, fits in rows]
        return sorted(found, key=lambda message: message.pk)

    def page(
        self, connection: Connection, wanted: RetryFilter, after: str | None
    ) -> tuple[list[str], str | None]:
        """Return pks that pass the filter, oldest first, and where the next page begins.

        The page begins behind the pk ``after`` and examines 5000 messages. The second value is
        None at the end.
        """
        examined = select(_m.pk, and_(_is_failed(wanted), _fits(wanted)))
        if wanted.batch_code is not None:
            examined = examined.where(
                _m.tenant_id == wanted.tenant_id, _m.batch_code == wanted.batch_code
            )
        else:
            # Each state is a part of one index, in the order of pks.
            examined = examined.where(_m.tenant_id == wanted.tenant_id, _m.state.in_(wanted.states))
        if after is not None:
            examined = examined.where(_m.pk > after)
        rows = connection.execute(examined.order_by(_m.pk).limit(_PAGE)).all()
        return [pk for pk, fits in rows if fits], rows[-1][0] if len(rows) == _PAGE else None

    def make_due(self, connection: Connection, pks: Sequence[str], now: float) -> int:
        """Make deferred messages due; returns how many. Their retry counts stay."""
        due = self._db.execute_rows(
            connection,
            "UPDATE message SET due_at = rows.now FROM rows WHERE message.pk = rows.pk "
            f"AND message.state = 'deferred' AND {_ACCOUNT_EXISTS} RETURNING message.pk",
            (("pk", "uuid"), ("now", "double precision")),
            [(pk, now) for pk in pks],
        )
        return len(due)

    def retry(self, connection: Connection, pks: Sequence[str], now: float) -> int:
        """Make messages due with a fresh retry count; returns how many.

        Recipients that an earlier attempt reached are left out for good.
        """
        found = self._db.execute_rows(
            connection,
            "SELECT message.pk, message.recipient_results, "
            "coalesce(message_head.content, message_payload.content), message_payload.recipients "
            "FROM rows "
            "JOIN message ON message.pk = rows.pk "
            "JOIN message_payload ON message_payload.pk = rows.pk "
            "LEFT JOIN message_head ON message_head.pk = rows.pk "
            f"WHERE message.partly_sent AND {_MAY_BE_RETRIED}",
            (("pk", "uuid"),),
            [(pk,) for pk in pks],
        )
        reached = {pk: _left(orjson.loads(results), *stored) for pk, results, *stored in found}
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
            "RETURNING message.pk, message.tenant_id, message.account_pk, message.id, "
            "message.batch_code",
            _RETRIED,
            again,
        )
        self._after_retry(connection, requeued, now)
        return len(requeued)

    def _after_retry(self, connection: Connection, requeued: Iterable[Any], now: float) -> None:
        rows = sorted(requeued)
        self._events.append(
            connection,
            [
                NewEvent(pk, tenant_id, account_pk, EventType.QUEUED, now, {})
                for pk, tenant_id, account_pk, _, _ in rows
            ],
        )
        self._held.join(connection, [(t, id_, code) for _, t, _, id_, code in rows if code])


def _left(
    results: Sequence[dict[str, Any]], content: str, envelope: str
) -> tuple[str | None, str | None]:
    """Return recipients that are left, and results of those reached, as stored JSON.

    ``envelope`` are the recipients of a raw message that is stored without them.
    """
    have = [r for r in results if r["status"] == RecipientStatus.SENT]
    if not have:
        return None, None
    done = {r["address"] for r in have}
    every = load_mail(content).recipients or envelope.split()
    left = [address for address in every if address not in done]
    return orjson.dumps(left).decode(), orjson.dumps(have).decode()


def _is_failed(wanted: RetryFilter) -> ColumnElement[bool]:
    account = select(_account.pk).where(_account.pk == _m.account_pk, _account.deleted_at.is_(None))
    return and_(_m.state.in_(wanted.states), account.exists())


def _fits(wanted: RetryFilter) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [_m.tenant_id == wanted.tenant_id]
    if wanted.account_id is not None:
        owned = select(_account.pk).where(
            _account.tenant_id == wanted.tenant_id, _account.id == wanted.account_id
        )
        conditions.append(_m.account_pk.in_(owned))
    if wanted.batch_code is not None:
        conditions.append(func.coalesce(_m.batch_code, "") == wanted.batch_code)
    if wanted.created_from is not None:
        conditions.append(_m.created_at >= wanted.created_from)
    if wanted.created_before is not None:
        conditions.append(_m.created_at < wanted.created_before)
    if wanted.error_like is not None:
        conditions.append(contains(func.coalesce(_m.error, ""), wanted.error_like))
    return and_(*conditions)
