"""Operations on suppression lists as CSV: import and export."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.errors import TooLarge
from mail_proxy.features.suppressions.operations import refuse_too_many, shown
from mail_proxy.features.suppressions.table import SuppressionsTable
from mail_proxy.kit.side_thread import SideThread
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.table import EVERY_TENANT, EveryTenant, Row
from mail_proxy.wire.suppression_csv import CsvEntry, CsvList, read_list, write_rows
from mail_proxy.wire.suppressions import (
    SuppressionMistake,
    SuppressionReason,
    SuppressionsImported,
)

_PAGE = 1_000
_MOST_BYTES = 4_000_000
_READING = SideThread("suppressions")


@dataclass(frozen=True)
class _Import:
    """An allowed import; ``found`` has entries of this tenant only."""

    tenant_id: str
    found: CsvList
    now: float


@dataclass(frozen=True)
class SuppressionExport:
    """The entries to export."""

    reason: SuppressionReason | None = None


async def read_csv(body: bytes | bytearray) -> CsvList:
    """Read a list next to the event loop.

    Raises Malformed if it cannot be read at all, and TooLarge.
    """
    if len(body) > _MOST_BYTES:
        raise TooLarge(f"a body of {len(body)} bytes; allowed for this call: {_MOST_BYTES}")
    return await _READING.run(read_list, body)


async def _add_all(parts: Parts, order: _Import) -> SuppressionsImported:
    """Add the addresses in chunks. After an error the import may be repeated."""
    rows = _rows(order)
    refuse_too_many(parts, order.tenant_id, len(rows))
    table, chunks = parts.tables.of_feature(SuppressionsTable), ChunkedWork(parts.db)
    added, start = 0, 0
    while start < len(rows):
        these = rows[start : start + chunks.size]
        start += len(these)
        added += await chunks.one(table.add, order.tenant_id, these)
    parts.bus.publish(DirectoryChanged())
    return SuppressionsImported(
        added=added,
        known=len(rows) - added,
        rejected=order.found.rejected,
        mistakes=list(order.found.mistakes),
    )


@operation("suppressions.import", mutates=True, then=_add_all)
def import_list(context: Context, request: CsvList) -> _Import:
    """Add the addresses of a list in CSV to the suppression list.

    Lines with a mistake are left out and named. An address that is on the list keeps its reason
    and time, so a call can be repeated.
    """
    return _Import(context.tenant_id, _of_tenant(request, context.tenant_id), context.now)


def _of_tenant(found: CsvList, tenant_id: str) -> CsvList:
    """Return the list without the entries that name another tenant."""
    own = [entry for entry in found.entries if entry.tenant_id in (None, tenant_id)]
    others = Counter(e.tenant_id for e in found.entries if e.tenant_id not in (None, tenant_id))
    mistakes = [
        SuppressionMistake(line=0, reason=f"{count} lines are about another tenant")
        for count in others.values()
    ]
    return CsvList(own, [*found.mistakes, *mistakes][:20], found.rejected + others.total())


def _rows(order: _Import) -> list[Row]:
    """Return rows of the table, each address once; the first line about it counts."""
    entries: dict[str, CsvEntry] = {}
    for entry in order.found.entries:
        entries.setdefault(entry.address, entry)
    return [
        {
            "address": entry.address,
            "reason": entry.reason,
            "detail": entry.detail,
            "message_id": entry.message_id,
            "since_at": order.now if entry.since is None else entry.since,
        }
        for entry in entries.values()
    ]


def _page(
    connection: Connection,
    table: SuppressionsTable,
    tenant: str | EveryTenant,
    place: tuple[str, str],
    reason: SuppressionReason | None,
) -> Sequence[Row]:
    return table.page(connection, tenant, place, _PAGE, reason)


async def _all_pages(
    parts: Parts, order: tuple[str | EveryTenant, SuppressionExport, Sequence[Row]]
) -> AsyncIterator[bytes]:
    """Return the list as CSV, one page in each piece."""
    return _pages(parts, *order)


async def _pages(
    parts: Parts, tenant: str | EveryTenant, request: SuppressionExport, found: Sequence[Row]
) -> AsyncIterator[bytes]:
    table = parts.tables.of_feature(SuppressionsTable)
    yield write_rows(map(shown, found), titles=True).encode()
    while len(found) == _PAGE:
        place = (found[-1]["tenant_id"], found[-1]["address"])
        found = await parts.db.read(_page, table, tenant, place, request.reason)
        yield write_rows(map(shown, found), titles=False).encode()


@operation("suppressions.export", scope=Scope.TENANT_OR_ALL, then=_all_pages)
def export(
    context: Context, request: SuppressionExport
) -> tuple[str | EveryTenant, SuppressionExport, Sequence[Row]]:
    """Export the suppression list as CSV, by tenant and address.

    The first page is read before the answer begins, so that an error still has its own status.
    """
    table = context.tables.of_feature(SuppressionsTable)
    tenant = context.tenant_id or EVERY_TENANT
    return tenant, request, _page(context.connection, table, tenant, ("", ""), request.reason)


ALL = (import_list, export)
