"""Search for messages by the SMTP reply code of their last error or deferral."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Text, select, type_coerce

from mail_proxy.domain.message import EventType
from mail_proxy.sql import schema

_message, _event = schema.message.c, schema.message_event.c
_KINDS = (EventType.ERROR, EventType.DEFERRED)
#: Events that are read at once: one with a thousand recipients has 500 kB.
_AT_ONCE = 50


def may_have_code(pk: ColumnElement[str], code: int) -> ColumnElement[bool]:
    """Return the condition that the last failure of a message mentions a reply code.

    It may also be the code of a single recipient.
    """
    # A quotation mark inside a JSON text has a backslash, so this matches keys only.
    return type_coerce(_last_failure(pk), Text).like(f'%"code":{int(code)}%')


def having_code(connection: Connection, pks: Sequence[str], code: int) -> set[str]:
    """Return the messages whose last failure has this code, of those that may have it."""
    found = set[str]()
    selected = select(_message.pk, _last_failure(_message.pk))
    for start in range(0, len(pks), _AT_ONCE):
        among = _message.pk.in_(pks[start : start + _AT_ONCE])
        rows = connection.execute(selected.where(among))
        found |= {pk for pk, data in rows if data is not None and data.get("code") == code}
    return found


def _last_failure(pk: ColumnElement[str]) -> ScalarSelect[object]:
    of_message = select(_event.data).where(_event.message_pk == pk, _event.event_type.in_(_KINDS))
    return of_message.order_by(_event.seq.desc()).limit(1).scalar_subquery()
