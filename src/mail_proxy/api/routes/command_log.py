"""Routes of the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse

from mail_proxy.api.bodies import read_body
from mail_proxy.api.deps import AdminCall, Route
from mail_proxy.operations import command_log as operations
from mail_proxy.operations.replay import read_export, replay
from mail_proxy.sql.tables.command_log import LogFilter
from mail_proxy.wire.command_log import (
    CommandAnswer,
    CommandsOut,
    PurgedOut,
    PurgeLog,
    ReplayedOut,
)
from mail_proxy.wire.fields import Identifier, OneLine
from mail_proxy.wire.instants import Timestamp

JSON_LINES = "application/x-ndjson"
_LINES = {JSON_LINES: {"schema": {"type": "string", "description": "One JSON object per line."}}}
router = APIRouter(tags=["audit log"], route_class=Route)


def _wanted(
    tenant_id: Annotated[
        Identifier | None, Query(description="Only entries about this tenant.")
    ] = None,
    since_ts: Annotated[
        Timestamp | None, Query(description="Only entries from this time on.")
    ] = None,
    until_ts: Annotated[
        Timestamp | None, Query(description="Only entries up to this time.")
    ] = None,
    endpoint: Annotated[
        OneLine | None,
        Query(
            max_length=255,
            description="`POST /account`, or `/account` with any method, or an operation's name "
            "such as `accounts.save`.",
        ),
    ] = None,
) -> LogFilter:
    return LogFilter(tenant_id, since_ts, until_ts, endpoint)


Wanted = Annotated[LogFilter, Depends(_wanted)]


@router.get("/command-log")
async def list_commands(
    call: AdminCall,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most entries in the answer.")] = 100,
    offset: Annotated[
        int, Query(ge=0, le=2**53, description="Number of newest entries to leave out.")
    ] = 0,
) -> CommandsOut:
    """List changes, failed log-ins and refused calls, newest first."""
    request = operations.LogPage(wanted, limit, offset)
    return await call(operations.list_commands, request)


@router.get(
    "/command-log/export",
    response_class=StreamingResponse,
    responses={200: {"content": _LINES, "description": "One entry per line, oldest first."}},
)
async def export(call: AdminCall, wanted: Wanted) -> StreamingResponse:
    """Export all matching entries as JSON lines, oldest first."""
    lines = await call(operations.export, operations.LogExport(wanted))
    return StreamingResponse(lines, media_type=JSON_LINES)


@router.post("/command-log/purge")
async def purge(call: AdminCall, body: PurgeLog | None = None) -> PurgedOut:
    """Remove old entries. The entry about this call stays."""
    return await call(operations.purge, body or PurgeLog())


@router.post(
    "/command-log/replay",
    openapi_extra={"requestBody": {"required": True, "content": _LINES}},
)
async def replay_export(call: AdminCall, request: Request) -> ReplayedOut:
    """Recreate tenants and accounts from an exported log, in an empty instance.

    All or nothing. An export contains no secrets: set the passwords and make the keys again.
    """
    export = await read_export(await read_body(request), call.replayable)
    return await call(replay, export)


@router.get("/command-log/{id}")
async def get(
    call: AdminCall,
    id: Annotated[int, Path(ge=0, le=2**63 - 1, description="Number of the entry.")],
) -> CommandAnswer:
    """Return one entry."""
    return await call(operations.get, operations.LogEntryRef(id))
