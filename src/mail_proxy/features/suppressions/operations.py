"""Operations on suppression lists: add, list, remove."""

from __future__ import annotations

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.errors import Conflict, NotFound
from mail_proxy.features.suppressions.address_set import NO_ADDRESSES
from mail_proxy.features.suppressions.step import NAME
from mail_proxy.features.suppressions.table import SuppressionsTable
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.wire.cursors import NO_CURSOR, dump_cursor, load_cursor
from mail_proxy.wire.mistakes import malformed, mistake
from mail_proxy.wire.suppressions import (
    SuppressionIn,
    SuppressionOut,
    SuppressionRef,
    SuppressionSaved,
    SuppressionsOut,
    SuppressionsQuery,
)
from mail_proxy.wire.tenants import Done

#: Each delivering process keeps them in memory, 8 octets each.
_MOST_OF_TENANT = 5_000_000


async def _with_room(parts: Parts, tenant_id: str, request: SuppressionIn) -> SuppressionIn:
    """Refuse addresses if the list is full; the copy in memory is counted fastest."""
    refuse_too_many(parts, tenant_id, len(request.every))
    return request


def refuse_too_many(parts: Parts, tenant_id: str, more: int) -> None:
    """Raise Conflict if the list of a tenant has no room for so many more addresses."""
    lists = parts.directory.snapshot.features.get(NAME, {})
    if len(lists.get(tenant_id, NO_ADDRESSES)) + more > _MOST_OF_TENANT:
        raise Conflict(f"the suppression list would be too long; allowed: {_MOST_OF_TENANT}")


@operation("suppressions.add", mutates=True, before=_with_room)
def add(context: Context, request: SuppressionIn) -> SuppressionSaved:
    """Add addresses to the suppression list; messages are not sent to them any more.

    An address that is on the list keeps its reason and time.
    """
    table = context.tables.of_feature(SuppressionsTable)
    rows = [
        {
            "address": address,
            "reason": request.reason,
            "detail": request.detail,
            "message_id": None,
            "since_at": context.now,
        }
        for address in request.every
    ]
    added = table.add(context.connection, context.tenant_id, rows)
    context.publish(DirectoryChanged())
    return SuppressionSaved(added=added)


@operation("suppressions.list", scope=Scope.TENANT_OR_ALL)
def list_suppressions(context: Context, request: SuppressionsQuery) -> SuppressionsOut:
    """Return a page of the suppression list of a tenant.

    It is of all tenants for the administrator who names none.
    """
    table = context.tables.of_feature(SuppressionsTable)
    tenant = context.tenant_id or EVERY_TENANT
    if request.address is not None:
        rows = table.select(
            context.connection, tenant_id=tenant, address=request.address, removed_at=None
        )
        return SuppressionsOut(suppressions=[shown(row) for row in rows], next_cursor=None)
    place = ("", "") if request.cursor is None else _place(request.cursor)
    rows = table.page(context.connection, tenant, place, request.limit + 1, request.reason)
    page = rows[: request.limit]
    more = len(rows) > request.limit
    return SuppressionsOut(
        suppressions=[shown(row) for row in page],
        next_cursor=dump_cursor([page[-1]["tenant_id"], page[-1]["address"]]) if more else None,
    )


@operation("suppressions.delete", mutates=True)
def delete(context: Context, request: SuppressionRef) -> Done:
    """Take an address off the suppression list; new messages are sent to it again."""
    table = context.tables.of_feature(SuppressionsTable)
    tenant_id = context.tenant_id
    if not table.remove(context.connection, tenant_id, request.address, context.now):
        raise NotFound("the address is not on the suppression list")
    context.publish(DirectoryChanged())
    return Done()


def _place(cursor: str) -> tuple[str, str]:
    try:
        tenant_id, address = load_cursor(cursor, str, str)
    except ValueError:
        raise malformed(mistake("cursor", NO_CURSOR, cursor)) from None
    return tenant_id, address


def shown(row: Row) -> SuppressionOut:
    """Return a row of the table as answers show it."""
    return SuppressionOut(
        tenant_id=row["tenant_id"],
        address=row["address"],
        reason=row["reason"],
        detail=row["detail"],
        message_id=row["message_id"],
        since_ts=int(row["since_at"]),
    )


ALL = (add, list_suppressions, delete)
