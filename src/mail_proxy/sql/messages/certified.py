"""Messages of PEC accounts, as their receipts find and change them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, text, update

from mail_proxy.domain.message import WAITING, EventType, MessageState
from mail_proxy.domain.outcome import RecipientStatus
from mail_proxy.sql import schema
from mail_proxy.sql.messages.events import MessageEventTable, NewEvent

#: The reason of an attempt whose outcome nobody knows begins so.
_UNCERTAIN = "uncertain"
#: Rows of a table of PEC whose message was removed.
_WITHOUT_MESSAGE = (
    "SELECT {columns} FROM {table} WHERE NOT EXISTS "
    "(SELECT 1 FROM message WHERE message.pk = {table}.message_pk) LIMIT :limit"
)
_REMOVED_RECEIPTS = text(_WITHOUT_MESSAGE.format(columns="message_pk, sha256", table="pec_receipt"))
_REMOVED = text(_WITHOUT_MESSAGE.format(columns="message_pk", table="pec_message"))
_m, _payload = schema.message.c, schema.message_payload.c


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that a receipt is about; ``state_at`` is Unix seconds."""

    pk: str
    tenant_id: str
    id: str
    account_pk: str
    state: MessageState
    state_at: float | None
    recipients: tuple[str, ...]
    recipients_left: list[str] | None
    recipient_results: list[dict[str, Any]] | None
    error: str | None

    @property
    def is_uncertain(self) -> bool:
        """True if the connection of the last attempt ended before the server's answer."""
        return self.error is not None and _UNCERTAIN in self.error

    @property
    def may_be_proved(self) -> bool:
        """True if a receipt can show that it was sent, whatever the dispatcher knows."""
        is_open = self.state in (*WAITING, MessageState.ERROR)
        # Recipients who were put off get the message in another transaction.
        return is_open and not self.recipients_left


def find_by_pk(
    connection: Connection, tenant_id: str, pk: str, *, lock: bool
) -> StoredMessage | None:
    """Return a tenant's message by its pk.

    With ``lock``, no other transaction changes it meanwhile.
    """
    return _first(connection, lock, _m.pk == pk, _m.tenant_id == tenant_id)


def find_by_id(
    connection: Connection, tenant_id: str, id_: str, *, lock: bool
) -> StoredMessage | None:
    """Return a tenant's message by its tracking id, as ``find_by_pk`` does."""
    return _first(connection, lock, _m.tenant_id == tenant_id, _m.id == id_)


def mark_proved(
    connection: Connection,
    events: MessageEventTable,
    message: StoredMessage,
    accepted: Collection[str],
    response: str,
    now: float,
) -> None:
    """Mark a message as sent, as a receipt shows.

    It went to the ``accepted`` recipients, or to all if there are none. It is for a message that
    ``may_be_proved``.
    """
    results = _proved(message.recipient_results or [], accepted, response)
    is_whole = all(result["status"] == RecipientStatus.SENT for result in results)
    values = {
        "state": MessageState.SENT.value,
        "state_at": now,
        "error": None,
        "held": False,
        "recipient_results": None if is_whole else results,
        "partly_sent": not is_whole,
    }
    connection.execute(update(schema.message).where(_m.pk == message.pk).values(**values))
    data: dict[str, Any] = {"code": None, "response": response}
    if not is_whole:
        data["recipients"] = results
    event = NewEvent(message.pk, message.tenant_id, message.account_pk, EventType.SENT, now, data)
    events.append(connection, [event])


def removed_with_receipts(connection: Connection, limit: int) -> list[tuple[str, str]]:
    """Return receipts whose message was removed: message (pk) and SHA-256."""
    rows = connection.execute(_REMOVED_RECEIPTS, {"limit": limit})
    return [(str(pk), sha256) for pk, sha256 in rows]


def removed(connection: Connection, limit: int) -> list[str]:
    """Return messages (pk) that still have a state for receipts, and were removed."""
    return [str(row[0]) for row in connection.execute(_REMOVED, {"limit": limit})]


def _proved(
    results: list[dict[str, Any]], accepted: Collection[str], response: str
) -> list[dict[str, Any]]:
    """Return recipients' results; those whose answer was missing are sent."""
    names = {address.casefold() for address in accepted}
    sent = {"status": str(RecipientStatus.SENT), "code": None, "response": response}
    return [
        {**result, **sent}
        if _is_open(result) and (not names or result["address"].casefold() in names)
        else result
        for result in results
    ]


def _is_open(result: dict[str, Any]) -> bool:
    """Return whether the connection ended before the answer about a recipient."""
    return result["code"] is None and str(result["response"]).startswith(_UNCERTAIN)


def _first(
    connection: Connection, lock: bool, *conditions: ColumnElement[bool]
) -> StoredMessage | None:
    columns = (
        *(_m.pk, _m.tenant_id, _m.id, _m.account_pk, _m.state, _m.state_at),
        *(_payload.recipients, _m.recipients_left, _m.recipient_results, _m.error),
    )
    statement = select(*columns).join(schema.message_payload, _payload.pk == _m.pk)
    statement = statement.where(*conditions)
    if lock:
        statement = statement.with_for_update(of=schema.message)
    row = connection.execute(statement).first()
    if row is None:
        return None
    return StoredMessage(
        pk=str(row.pk),
        tenant_id=row.tenant_id,
        id=row.id,
        account_pk=str(row.account_pk),
        state=MessageState(row.state),
        state_at=row.state_at,
        recipients=tuple(row.recipients.split()),
        recipients_left=row.recipients_left,
        recipient_results=row.recipient_results,
        error=row.error,
    )
