"""Find the message that a bounce, a complaint or a receipt is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, select, text

from mail_proxy.sql import schema
from mail_proxy.sql.table import Row

_MADE = re.compile(r"<([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})@[^<>]{1,255}>")
_MOST = 20
_COLUMNS = (
    "SELECT message.pk, message.tenant_id, message.id, message.account_pk, p.recipients "
    "FROM {tables} JOIN message_payload AS p ON p.pk = message.pk WHERE {condition} LIMIT :most"
)
_BY_PK = text(_COLUMNS.format(tables="message", condition="message.pk = :value"))
_BY_MESSAGE_ID = text(
    _COLUMNS.format(tables="message", condition="message.client_message_id = :value")
)
#: From tenant to tenant, because the index begins with the tenant.
_BY_ID = text(
    _COLUMNS.format(
        tables="tenant CROSS JOIN message",
        condition="message.tenant_id = tenant.id AND message.id = :value",
    )
)
#: Messages that are looked for at once.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ReturnedMessage:
    """A message that came back, with the recipients it was sent to."""

    pk: str
    tenant_id: str
    id: str
    account_pk: str
    recipients: tuple[str, ...]

    def has(self, address: str) -> bool:
        """Return whether the message was sent to an address, whatever its case."""
        return address.casefold() in {each.casefold() for each in self.recipients}


def find_returned(
    connection: Connection,
    *,
    tracking_id: str | None,
    message_id: str | None,
    pk: str | None,
    addresses: Sequence[str],
) -> ReturnedMessage | None:
    """Return the message that a returned mail is about, or None.

    It is found by its tracking header, else by its Message-ID, else by the token of its envelope
    sender. Several tenants may use one tracking id: then Message-ID and recipients decide.
    """
    made = _MADE.fullmatch(message_id) if message_id else None
    by_pk = made[1] if made else pk
    found = _rows(connection, _BY_ID, tracking_id)
    if len(found) > 1:
        exact = [each for each in found if by_pk == each.pk]
        found = exact or [each for each in found if any(each.has(a) for a in addresses)]
    if not found:
        found = _rows(connection, _BY_PK, made[1] if made else None)
    if not found:
        found = _rows(connection, _BY_MESSAGE_ID, message_id)
    if not found:
        found = _rows(connection, _BY_PK, pk)
    return found[0] if len(found) == 1 else None


def find_of_tenant(connection: Connection, tenant_id: str, id_: str) -> ReturnedMessage | None:
    """Return the message with the client's identifier ``id_``, or None."""
    found = _rows(connection, _BY_ID, id_)
    return next((each for each in found if each.tenant_id == tenant_id), None)


def last_bounces(connection: Connection, pks: Sequence[str]) -> dict[str, Row]:
    """Return the data of the last bounce of each message, with ``bounce_ts``."""
    c = schema.message_event.c
    selected = select(c.message_pk, c.data, c.event_at).where(c.event_type == "bounce")
    found: dict[str, Row] = {}
    for start in range(0, len(pks), _AT_ONCE):
        among = c.message_pk.in_(pks[start : start + _AT_ONCE])
        for pk, data, at in connection.execute(selected.where(among).order_by(c.seq)):
            found[pk] = {**data, "bounce_ts": int(at)}
    return found


def _rows(
    connection: Connection, statement: TextClause, value: str | None
) -> list[ReturnedMessage]:
    if value is None:
        return []
    rows = connection.execute(statement, {"value": value, "most": _MOST})
    return [ReturnedMessage(str(r[0]), r[1], r[2], str(r[3]), tuple(r[4].split())) for r in rows]
