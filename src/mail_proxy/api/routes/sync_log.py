"""Route of the log of report calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import Call, PathId, Route
from mail_proxy.operations import sync_log as operations
from mail_proxy.wire.sync_log import CallFilter, SyncLogOut

router = APIRouter(tags=["tenants"], route_class=Route)


@router.get("/tenant/{id}/sync-log")
async def list_calls(
    call: Call,
    id: PathId,
    limit: Annotated[int, Query(ge=1, le=100, description="Most calls in the answer.")] = 100,
) -> SyncLogOut:
    """List the last calls to the tenant's application, newest first; 100 are kept."""
    request = CallFilter(limit=limit)
    return await call(operations.list_calls, request, id)
