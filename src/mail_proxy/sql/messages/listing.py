"""Page through messages in order of intake; the cost grows with the page only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    case,
    false,
    func,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)

from mail_proxy.domain.message import WAITING, MessageState
from mail_proxy.kit.ids import MOST_AHEAD_SECONDS, first_uuid7
from mail_proxy.sql import schema
from mail_proxy.sql.messages.last_failure import having_code, may_have_code
from mail_proxy.sql.messages.search import containing, escaped, may_contain
from mail_proxy.sql.table import Row

#: Messages that one page examines if no index leads to the wanted ones alone: for a text search,
#: a reply code, refused recipients, and for several filters at once.
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
#: A message gets its pk before it is stored. A large call is checked and written meanwhile.
LONGEST_INTAKE_SECONDS = 600.0
#: Stored JSON: inside a text, each of these quotation marks has a backslash.
_REFUSED = '%"status":"failed"%'
_m, _payload, _account = schema.message.c, schema.message_payload.c, schema.account.c
_head = schema.message_head.c


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Filters of a listing; None means any, also any tenant.

    ``code`` is the SMTP reply code of the last error or deferral. With ``recipient_failed`` at
    least one recipient was refused or given up. The message was taken in at ``created_from`` or
    later, and before ``created_before`` (Unix seconds).
    """

    tenant_id: str | None
    active_only: bool = False
    wanted_states: Sequence[str] | None = None
    account_id: str | None = None
    batch_code: str | None = None
    id: str | None = None
    text: str | None = None
    recipient_failed: bool = False
    code: int | None = None
    created_from: float | None = None
    created_before: float | None = None

    @property
    def is_search(self) -> bool:
        """True if each message that is examined costs a look into other tables."""
        return self.text is not None or self.code is not None

    @property
    def states(self) -> Sequence[str]:
        """The states that the filter lets through."""
        wanted = [*WAITING, MessageState.SENDING] if self.active_only else list(MessageState)
        return [s for s in wanted if self.wanted_states is None or s in self.wanted_states]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; ``next_pk`` is where the next begins, None at the end.

    A page of a search, or of several filters, may be short or empty and still have a next one.
    """

    rows: list[Row]
    next_pk: str | None


def page(
    connection: Connection,
    wanted: MessageFilter,
    limit: int,
    place: str | None,
    *,
    oldest_first: bool = False,
) -> Page:
    """Return messages behind the pk ``place``, as ``detail`` selects them.

    They come in the order of their pks, the newest first.
    """
    walk = _Walk(connection, wanted, oldest_first)
    found: list[str] = []
    looked_at, step = 0, limit + 1
    if wanted.is_search:
        step = min(step, _FIRST_SEARCHED)
    first = time.perf_counter()
    while walk.pieces:
        began = time.perf_counter()
        seen = walk.look(step, place)
        ended = time.perf_counter()
        found += [pk for pk, fits in seen if fits]
        looked_at += len(seen)
        if len(found) > limit:
            return Page(walk.rows(found[:limit]), found[limit - 1])
        if len(seen) < step:
            break
        place = seen[-1][0]
        if looked_at >= MOST_LOOKED_AT or ended - first >= MOST_SECONDS:
            return Page(walk.rows(found), place)
        quick = max(_LEAST_SEARCHED, int(step * _LOOK_SECONDS / max(ended - began, 0.001)))
        step = min(step * _GROWTH, quick, MOST_LOOKED_AT - looked_at)
    return Page(walk.rows(found), None)


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


class _Walk:
    """Walk over the messages that a filter may let through, in either order."""

    def __init__(self, connection: Connection, wanted: MessageFilter, oldest_first: bool) -> None:
        self._connection = connection
        self._wanted = wanted
        self._oldest_first = oldest_first
        self.pieces = _pieces(connection, wanted)

    def rows(self, pks: Sequence[str]) -> list[Row]:
        """Return the messages with these pks."""
        statement = detail().where(_m.pk.in_(pks)).order_by(self._ordered(_m.pk))
        return [dict(row._mapping) for row in self._connection.execute(statement)]

    def look(self, limit: int, place: str | None) -> list[tuple[str, bool]]:
        """Return the next pks of all pieces, and whether each passes the filters."""
        nearest = []
        for piece in self.pieces:
            behind = piece if place is None else piece.where(self._behind(place))
            each = behind.order_by(self._ordered(_m.pk)).limit(limit).subquery()
            nearest.append(select(each.c.pk, each.c.fits))
        merged = union_all(*nearest).subquery()
        seen = select(merged).order_by(self._ordered(merged.c.pk)).limit(limit).subquery()
        fits: ColumnElement[bool] = seen.c.fits
        if self._wanted.is_search:
            # Not AND, for which a database may look into other tables for every message.
            fits = case((fits, and_(*self._searches(seen.c.pk))), else_=false())
        statement = select(seen.c.pk, fits).order_by(self._ordered(seen.c.pk))
        rows = [(pk, bool(fits)) for pk, fits in self._connection.execute(statement)]
        whole = self._exact([pk for pk, fits in rows if fits])
        return [(pk, pk in whole) for pk, _ in rows]

    def _searches(self, pk: ColumnElement[str]) -> list[ColumnElement[bool]]:
        """Return conditions on other tables, which let a few messages too many pass."""
        conditions: list[ColumnElement[bool]] = []
        if self._wanted.code is not None:
            conditions.append(may_have_code(pk, self._wanted.code))
        if self._wanted.text is not None:
            # Not EXISTS, for which PostgreSQL may read all there are at once.
            found = select(may_contain(self._wanted.text)).where(_payload.pk == pk)
            conditions.append(found.scalar_subquery())
        return conditions

    def _exact(self, pks: list[str]) -> set[str]:
        found = set(pks)
        if self._wanted.code is not None:
            found = having_code(self._connection, pks, self._wanted.code)
        if self._wanted.text is not None:
            found = containing(self._connection, sorted(found), self._wanted.text)
        return found

    def _behind(self, place: str) -> ColumnElement[bool]:
        return _m.pk > place if self._oldest_first else _m.pk < place

    def _ordered(self, pk: ColumnElement[str]) -> ColumnElement[str]:
        return pk.asc() if self._oldest_first else pk.desc()


def _pieces(connection: Connection, wanted: MessageFilter) -> list[Select[Any]]:
    """Choose which parts of which index to read, with a column ``fits``.

    A single filter has an index of its own, so every row fits. Of several filters, the index
    part of the one with the fewest messages is examined.
    """
    accounts = None if wanted.account_id is None else _accounts(connection, wanted)
    fits = and_(true(), *_conditions(wanted, accounts))
    looked_through = select(_m.pk, fits.label("fits")).where(*_taken_in(wanted))
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


def _conditions(wanted: MessageFilter, accounts: list[str] | None) -> list[ColumnElement[bool]]:
    """Return the conditions on columns of the message itself."""
    conditions: list[ColumnElement[bool]] = []
    if len(wanted.states) < len(MessageState):
        conditions.append(_m.state.in_(wanted.states))
    if wanted.batch_code is not None:
        conditions.append(_m.batch_code == wanted.batch_code)
    if accounts is not None:
        conditions.append(_m.account_pk.in_(accounts))
    if wanted.created_from is not None:
        conditions.append(_m.created_at >= wanted.created_from)
    if wanted.created_before is not None:
        conditions.append(_m.created_at < wanted.created_before)
    if wanted.recipient_failed:
        refused = type_coerce(_m.recipient_results, Text).like(_REFUSED)
        conditions.append(or_(_m.state == MessageState.ERROR, refused))
    return conditions


def _taken_in(wanted: MessageFilter) -> list[ColumnElement[bool]]:
    """Return the range of pks that messages taken in at the wanted times can have.

    It is a little too wide, and ``_conditions`` is exact. So a call about one hour does not
    examine the newer messages of a year.
    """
    ranges: list[ColumnElement[bool]] = []
    if wanted.created_from is not None:
        earliest = max(0.0, wanted.created_from - LONGEST_INTAKE_SECONDS)
        ranges.append(_m.pk >= first_uuid7(earliest))
    if wanted.created_before is not None:
        ranges.append(_m.pk < first_uuid7(wanted.created_before + MOST_AHEAD_SECONDS + 1.0))
    return ranges


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
