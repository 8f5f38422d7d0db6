"""Pages of messages, newest first, at a cost that grows with the page and not with the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, union_all

from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.sql import schema
from mail_proxy.sql.table import Row

#: Messages that one page of a text search looks into; there is no index for what they contain.
_SEARCHED = 5000
_m, _payload, _account = schema.message.c, schema.message_payload.c, schema.account.c


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages of a tenant a listing shows; None means any."""

    tenant_id: str
    active_only: bool = False
    state: str | None = None
    account_id: str | None = None
    batch_code: str | None = None
    id: str | None = None
    text: str | None = None

    @property
    def states(self) -> Sequence[str]:
        """The states that it lets through."""
        wanted = [*WAITING, MessageState.SENDING] if self.active_only else list(MessageState)
        return [s for s in wanted if self.state in (None, s)]


@dataclass(frozen=True, slots=True)
class Page:
    """``next_pk`` is where the next page begins, None behind the last one. A page of a text
    search may be short, or empty, and have a next one all the same."""

    rows: list[Row]
    next_pk: str | None


def page(connection: Connection, wanted: MessageFilter, limit: int, before_pk: str | None) -> Page:
    """Up to ``limit`` messages with account id and content, older than ``before_pk``."""
    most = _SEARCHED if wanted.text else limit
    pks = _newest(connection, wanted, most + 1, before_pk)
    more = pks[most - 1] if len(pks) > most else None
    statement = detail().where(_m.pk.in_(pks[:most]))
    if wanted.text:
        statement = statement.where(_contains(wanted.text)).limit(limit + 1)
    found = connection.execute(statement.order_by(_m.pk.desc()))
    rows: list[Row] = [dict(row._mapping) for row in found]
    if len(rows) > limit:
        return Page(rows[:limit], rows[limit - 1]["pk"])
    return Page(rows, more)


def detail() -> Select[Any]:
    """Messages with account id and content."""
    return (
        select(schema.message, _account.id.label("account_id"), _payload.content)
        .join(schema.account, _account.pk == _m.account_pk)
        .join(schema.message_payload, _payload.pk == _m.pk)
    )


def _newest(
    connection: Connection, wanted: MessageFilter, limit: int, before_pk: str | None
) -> list[str]:
    """The first pks of every piece of an index that holds wanted ones, merged."""
    pieces = []
    for piece in _pieces(connection, wanted):
        if before_pk is not None:
            piece = piece.where(_m.pk < before_pk)
        newest = piece.order_by(_m.pk.desc()).limit(limit)
        pieces.append(select(newest.subquery().c.pk))
    if not pieces:
        return []
    found = union_all(*pieces).subquery()
    merged = select(found.c.pk).order_by(found.c.pk.desc()).limit(limit)
    return list(connection.execute(merged).scalars())


def _pieces(connection: Connection, wanted: MessageFilter) -> list[Select[Any]]:
    """What to read of which index, so that no other messages than wanted ones are walked past;
    several filters at once walk through the smallest piece."""
    of_tenant = select(_m.pk).where(_m.tenant_id == wanted.tenant_id)
    accounts: list[str] = []
    if wanted.account_id is not None:
        owned = select(_account.pk).where(
            _account.tenant_id == wanted.tenant_id, _account.id == wanted.account_id
        )
        accounts = list(connection.execute(owned).scalars())
    if wanted.id is not None:
        pieces = [of_tenant.where(_m.id == wanted.id)]
    elif wanted.batch_code is not None:
        pieces = [of_tenant.where(_m.batch_code == wanted.batch_code)]
    elif wanted.account_id is not None:
        pieces = [select(_m.pk).where(_m.account_pk == pk) for pk in accounts]
    else:
        return [of_tenant.where(_m.state == state) for state in wanted.states]
    # Written so that the index by state does not come into question.
    rest: list[ColumnElement[bool]] = [_m.state.concat("").in_(wanted.states)]
    if wanted.batch_code is not None:
        rest.append(_m.batch_code == wanted.batch_code)
    if wanted.account_id is not None:
        rest.append(_m.account_pk.in_(accounts))
    return [piece.where(*rest) for piece in pieces]


def _contains(text: str) -> ColumnElement[bool]:
    pattern = _like(text.lower())
    return or_(
        func.lower(_payload.recipients).like(pattern, escape="\\"),
        func.lower(_payload.subject).like(pattern, escape="\\"),
    )


def _like(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"
