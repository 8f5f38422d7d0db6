"""Operations on the audit log: list, get, export, purge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson

from mail_proxy.errors import NotFound
from mail_proxy.operations.operation import Context, Scope, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql import Connection
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.table import EVERY_TENANT, Row
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.command_log import LogFilter
from mail_proxy.wire.command_log import (
    CommandAnswer,
    CommandOut,
    CommandsOut,
    PurgedOut,
    PurgeLog,
)

_DAY = 86_400.0
_PAGE = 500
_Page = list[CommandOut]


@dataclass(frozen=True)
class LogPage:
    """A page of entries, newest first; ``limit`` is 1-1000."""

    wanted: LogFilter
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True)
class LogEntryRef:
    """An entry of the audit log, by its number."""

    id: int


@dataclass(frozen=True)
class LogExport:
    """The entries to export."""

    wanted: LogFilter


@operation("command_log.list", scope=Scope.ADMIN)
def list_commands(context: Context, request: LogPage) -> CommandsOut:
    """Return a page of entries, newest first."""
    log = context.tables.command_log
    rows = log.newest(context.connection, request.wanted, request.limit, request.offset)
    return CommandsOut(commands=[_shown(row) for row in rows])


@operation("command_log.get", scope=Scope.ADMIN)
def get(context: Context, request: LogEntryRef) -> CommandAnswer:
    """Return one entry."""
    log = context.tables.command_log
    row = log.find(context.connection, tenant_id=EVERY_TENANT, id=request.id)
    if row is None:
        raise NotFound("no such entry")
    return CommandAnswer(command=_shown(row))


def _page(connection: Connection, tables: Tables, request: LogExport, after_id: int) -> _Page:
    rows = tables.command_log.after(connection, request.wanted, after_id, _PAGE)
    return [_shown(row) for row in rows]


async def _all_pages(parts: Parts, order: tuple[LogExport, _Page]) -> AsyncIterator[bytes]:
    """Return the export as JSON lines, one page in each piece."""
    return _pages(parts, *order)


async def _pages(parts: Parts, request: LogExport, found: _Page) -> AsyncIterator[bytes]:
    while found:
        yield b"".join(orjson.dumps(c.model_dump(mode="json")) + b"\n" for c in found)
        if len(found) < _PAGE:
            return
        found = await parts.db.read(_page, parts.tables, request, found[-1].id)


@operation("command_log.export", scope=Scope.ADMIN, then=_all_pages)
def export(context: Context, request: LogExport) -> tuple[LogExport, _Page]:
    """Export entries as JSON lines, oldest first.

    The first page is read before the answer begins, so that an error still has its own status.
    """
    return request, _page(context.connection, context.tables, request, 0)


async def _purge(parts: Parts, before: float) -> PurgedOut:
    """Remove the entries in chunks. After an error the call may be repeated."""

    def remove(connection: Connection, most: int) -> int:
        return parts.tables.command_log.remove_oldest(connection, before, most)

    return PurgedOut(removed=await ChunkedWork(parts.db).all(remove))


@operation("command_log.purge", scope=Scope.ADMIN, mutates=True, then=_purge)
def purge(context: Context, request: PurgeLog) -> float:
    """Remove old entries. The entry about this call stays.

    Returns the time before which entries are removed.
    """
    age = request.older_than_seconds
    if age is None:
        age = context.queue.audit_retention_days * _DAY
    return context.now - age


def _shown(row: Row) -> CommandOut:
    named = {name: row[name] for name in CommandOut.model_fields if name in row}
    return CommandOut(**named, command_ts=int(row["at"]))


ALL = (list_commands, get, export, purge)
