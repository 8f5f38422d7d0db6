"""Page through messages, newest first, at a cost that grows with the page only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, true, union_all

from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.sql import schema
from mail_proxy.sql.messages.search import containing, escaped, may_contain
from mail_proxy.sql.table import Row

#: Messages that one page examines if no index leads to the wanted ones alone: for a text search,
#: and for several filters at once.
MOST_LOOKED_AT = 20_000
#: Tenants up to which a listing of all reads the index of each.
_MOST_TENANTS = 20
#: Time after which a page looks no further. A thousand recipients or long subjects make a message
#: a thousand times as expensive to search as an ordinary one.
MOST_SECONDS = 0.5
#: If a look finds too few messages, the next one is this many times as long, if it was quick.
_GROWTH = 8
_LOOK_SECONDS = 0.1
_FIRST_SEARCHED, _LEAST_SEARCHED = 200, 20
_m, _payload, _account = schema.message.c, schema.message_payload.c, schema.account.c
_head = schema.message_head.c


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Filters of a listing; None means any, also any tenant."""

    tenant_id: str | None
    active_only: bool = False
    wanted_states: Sequence[str] | None = None
    account_id: str | None = None
    batch_code: str | None = None
    id: str | None = None
    text: str | None = None

    @property
    def states(self) -> Sequence[str]:
        """The states that the filter lets through."""
        wanted = [*WAITING, MessageState.SENDING] if self.active_only else list(MessageState)
        return [s for s in wanted if self.wanted_states is None or s in self.wanted_states]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next_pk`` is where the next begins, None at the end.

    A page of a text search, or of several filters, may be short or empty and still have a
    next one.
    """

    rows: list[Row]
    next_pk: str | None


def page(connection: Connection, wanted: MessageFilter, limit: int, before_pk: str | None) -> Page:
    """Return messages older than ``before_pk``, as ``detail`` selects them."""
    pieces = _pieces(connection, wanted)
    found: list[str] = []
    looked_at, step, place = 0, limit + 1, before_pk
    if wanted.text is not None:
        step = min(step, _FIRST_SEARCHED)
    first = time.perf_counter()
    while pieces:
        began = time.perf_counter()
        seen = _look(connection, pieces, wanted.text, step, place)
        ended = time.perf_counter()
        found += [pk for pk, fits in seen if fits]
        looked_at += len(seen)
        if len(found) > limit:
            return Page(_rows(connection, found[:limit]), found[limit - 1])
        if len(seen) < step:
            break
        place = seen[-1][0]
        if looked_at >= MOST_LOOKED_AT or ended - first >= MOST_SECONDS:
            return Page(_rows(connection, found), place)
        quick = max(_LEAST_SEARCHED, int(step * _LOOK_SECONDS / max(ended - began, 0.001)))
        step = min(step * _GROWTH, quick, MOST_LOOKED_AT - looked_at)
    return Page(_rows(connection, found), None)


def detail() -> Select[Any]:
    """Select messages with account id, and content without large bodies."""
    # The database does not look at the second value if there is a first one.
    content = func.coalesce(_head.content, _payload.content).label("content")
    return (
        select(schema.message, _account.id.label("account_id"), content)
        .join(schema.account, _account.pk == _m.account_pk)
        .join(schema.message_payload, _payload.pk == _m.pk)
        .outerjoin(schema.message_head, _head.pk == _m.pk)
    )


def _rows(connection: Connection, pks: Sequence[str]) -> list[Row]:
    found = connection.execute(detail().where(_m.pk.in_(pks)).order_by(_m.pk.desc()))
    return [dict(row._mapping) for row in found]


def _look(
    connection: Connection,
    pieces: Sequence[Select[Any]],
    text: str | None,
    limit: int,
    before_pk: str | None,
) -> list[tuple[str, bool]]:
    """Return the newest pks of all pieces, and whether each passes the filters."""
    newest = []
    for piece in pieces:
        older = piece if before_pk is None else piece.where(_m.pk < before_pk)
        each = older.order_by(_m.pk.desc()).limit(limit).subquery()
        newest.append(select(each.c.pk, each.c.fits))
    merged = union_all(*newest).subquery()
    seen = select(merged).order_by(merged.c.pk.desc()).limit(limit).subquery()
    fits: ColumnElement[bool] = seen.c.fits
    if text is not None:
        # Not EXISTS, for which PostgreSQL may read all there are at once.
        found = select(may_contain(text)).where(_payload.pk == seen.c.pk).scalar_subquery()
        fits = and_(fits, found)
    statement = select(seen.c.pk, fits).order_by(seen.c.pk.desc())
    rows = [(pk, bool(fits)) for pk, fits in connection.execute(statement)]
    if text is None:
        return rows
    whole = containing(connection, [pk for pk, fits in rows if fits], text)
    return [(pk, pk in whole) for pk, _ in rows]


def _pieces(connection: Connection, wanted: MessageFilter) -> list[Select[Any]]:
    """Choose which parts of which index to read, with a column ``fits``.

    A single filter has an index of its own, so every row fits. Of several filters, the index
    part of the one with the fewest messages is examined.
    """
    accounts = None if wanted.account_id is None else _accounts(connection, wanted)
    conditions: list[ColumnElement[bool]] = []
    if len(wanted.states) < len(MessageState):
        conditions.append(_m.state.in_(wanted.states))
    if wanted.batch_code is not None:
        conditions.append(_m.batch_code == wanted.batch_code)
    if accounts is not None:
        conditions.append(_m.account_pk.in_(accounts))
    looked_through = select(_m.pk, and_(true(), *conditions).label("fits"))
    if wanted.id is None and wanted.batch_code is None and accounts is not None:
        return [looked_through.where(_m.account_pk == pk) for pk in accounts]
    tenants = _tenants(connection, wanted)
    scopes = [_m.tenant_id == tenant_id for tenant_id in tenants]
    if len(tenants) > _MOST_TENANTS:
        scopes = [_m.tenant_id.in_(select(schema.tenant.c.id))]
    if wanted.id is not None:
        return [looked_through.where(scope, _m.id == wanted.id) for scope in scopes]
    if wanted.batch_code is not None:
        batch_code = wanted.batch_code
        return [looked_through.where(scope, _m.batch_code == batch_code) for scope in scopes]
    if len(tenants) > _MOST_TENANTS:
        # In the order of the primary key; the states are among the conditions.
        return [looked_through]
    return [
        looked_through.where(scope, _m.state == state)
        for scope in scopes
        for state in wanted.states
    ]


def _tenants(connection: Connection, wanted: MessageFilter) -> list[str]:
    """Return the tenants of the listing; of very many only the first."""
    if wanted.tenant_id is not None:
        return [wanted.tenant_id]
    some = select(schema.tenant.c.id).limit(_MOST_TENANTS + 1)
    return list(connection.execute(some).scalars())


def _accounts(connection: Connection, wanted: MessageFilter) -> list[str]:
    """Return the accounts with this id, also removed ones that had it before."""
    owned = select(_account.pk).where(_account.id == wanted.account_id)
    if wanted.tenant_id is not None:
        owned = owned.where(_account.tenant_id == wanted.tenant_id)
    return list(connection.execute(owned).scalars())


def contains(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return the condition that a column contains a text, whatever its case."""
    return func.lower(column).like(f"%{escaped(text.lower())}%", escape="\\")
