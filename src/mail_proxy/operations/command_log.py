"""The audit log: look at it, hand it out, purge it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import orjson

from mail_proxy.errors import NotFound
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Context, Door, operation
from mail_proxy.sql import Connection, SqlDb
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


@dataclass(frozen=True)
class LogPage:
    """Entries newest first; ``limit`` is 1-1000."""

    wanted: LogFilter
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True)
class LogEntryRef:
    """One entry."""

    id: int


@dataclass(frozen=True)
class NextCommands:
    """A page of an export: what follows the entry ``after_id``."""

    wanted: LogFilter
    after_id: int = 0


@operation("command_log.list", admin_only=True)
def list_commands(context: Context, request: LogPage) -> CommandsOut:
    """A page, newest first."""
    log = context.tables.command_log
    rows = log.newest(context.connection, request.wanted, request.limit, request.offset)
    return CommandsOut(commands=[_shown(row) for row in rows])


@operation("command_log.get", admin_only=True)
def get(context: Context, request: LogEntryRef) -> CommandAnswer:
    """One entry."""
    log = context.tables.command_log
    row = log.find(context.connection, tenant_id=EVERY_TENANT, id=request.id)
    if row is None:
        raise NotFound("no such entry")
    return CommandAnswer(command=_shown(row))


@operation("command_log.export", admin_only=True)
def page(context: Context, request: NextCommands) -> list[CommandOut]:
    """The next page of an export, oldest first; empty at its end."""
    log = context.tables.command_log
    rows = log.after(context.connection, request.wanted, request.after_id, _PAGE)
    return [_shown(row) for row in rows]


@operation("command_log.purge", admin_only=True, mutates=True)
def purge(context: Context, request: PurgeLog) -> float:
    """Permission to remove entries; those from before the time in the answer."""
    age = request.older_than_seconds
    if age is None:
        age = context.queue.audit_retention_days * _DAY
    return context.now - age


class CommandLog:
    """Operations on any number of entries, each in many transactions."""

    def __init__(self, door: Door, db: SqlDb, tables: Tables) -> None:
        self._door = door
        self._tables = tables
        self._db = db

    async def export(self, caller: Caller, wanted: LogFilter) -> AsyncIterator[bytes]:
        """JSON lines, oldest first, a page of them in each piece.

        The first page is read before this returns, so that what is wrong then still has a
        status of its own.
        """
        first = await self._door.call(page, caller, NextCommands(wanted))
        return self._pages(caller, wanted, first)

    async def _pages(
        self, caller: Caller, wanted: LogFilter, found: list[CommandOut]
    ) -> AsyncIterator[bytes]:
        while found:
            yield b"".join(orjson.dumps(c.model_dump(mode="json")) + b"\n" for c in found)
            if len(found) < _PAGE:
                return
            found = await self._door.call(page, caller, NextCommands(wanted, found[-1].id))

    async def purge(self, caller: Caller, request: PurgeLog) -> PurgedOut:
        """Remove old entries; the entry about this call stays."""
        before = await self._door.call(purge, caller, request)
        removed = await ChunkedWork(self._db).all(partial(self._remove, before))
        return PurgedOut(removed=removed)

    def _remove(self, before: float, connection: Connection, most: int) -> int:
        return self._tables.command_log.remove_oldest(connection, before, most)


def _shown(row: Row) -> CommandOut:
    named = {name: row[name] for name in CommandOut.model_fields if name in row}
    return CommandOut(**named, command_ts=int(row["at"]))
