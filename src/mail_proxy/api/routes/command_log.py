"""The audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import StreamingResponse

from mail_proxy.api.deps import Admin, Route, Service
from mail_proxy.operations import command_log as operations
from mail_proxy.operations.replay import parse_export, replay
from mail_proxy.sql.tables.command_log import LogFilter
from mail_proxy.wire.command_log import (
    CommandAnswer,
    CommandsOut,
    PurgedOut,
    PurgeLog,
    ReplayedOut,
)
from mail_proxy.wire.fields import Identifier, OneLine, Timestamp

JSON_LINES = "application/x-ndjson"
_LINES = {JSON_LINES: {"schema": {"type": "string", "description": "A JSON object a line."}}}
router = APIRouter(tags=["audit log"], route_class=Route)


def _wanted(
    tenant_id: Annotated[Identifier | None, Query(description="Only about this tenant.")] = None,
    since_ts: Annotated[Timestamp | None, Query(description="Not before this time.")] = None,
    until_ts: Annotated[Timestamp | None, Query(description="Not after this time.")] = None,
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
    service: Service,
    caller: Admin,
    wanted: Wanted,
    limit: Annotated[int, Query(ge=1, le=1000, description="Most entries in the answer.")] = 100,
    offset: Annotated[
        int, Query(ge=0, le=2**53, description="How many of the newest to leave out.")
    ] = 0,
) -> CommandsOut:
    """Calls that changed something, failed log-ins and refused calls, newest first."""
    request = operations.LogPage(wanted, limit, offset)
    return await service.door.call(operations.list_commands, caller, request)


@router.get(
    "/command-log/export",
    response_class=StreamingResponse,
    responses={200: {"content": _LINES, "description": "One entry a line, oldest first."}},
)
async def export(service: Service, caller: Admin, wanted: Wanted) -> StreamingResponse:
    """The same entries as JSON lines, oldest first, however many there are."""
    lines = await service.command_log.export(caller, wanted)
    return StreamingResponse(lines, media_type=JSON_LINES)


@router.post("/command-log/purge")
async def purge(service: Service, caller: Admin, body: PurgeLog | None = None) -> PurgedOut:
    """Remove old entries; the entry about this call stays."""
    return await service.command_log.purge(caller, body or PurgeLog())


@router.post(
    "/command-log/replay",
    openapi_extra={"requestBody": {"required": True, "content": _LINES}},
)
async def replay_export(service: Service, caller: Admin, request: Request) -> ReplayedOut:
    """Make the tenants and accounts anew that an export tells of, in an empty instance.

    All or nothing. Secrets are not in an export: passwords have to be set, and keys made, anew.
    """
    order = parse_export(await request.body())
    return await service.door.call(replay, caller, order)


@router.get("/command-log/{id}")
async def get(
    service: Service,
    caller: Admin,
    id: Annotated[int, Path(ge=0, le=2**63 - 1, description="Number of the entry.")],
) -> CommandAnswer:
    """One entry."""
    return await service.door.call(operations.get, caller, operations.LogEntryRef(id))
