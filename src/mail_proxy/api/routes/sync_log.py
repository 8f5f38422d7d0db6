"""The log of report calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import AnyCaller, PathId, Route, Service
from mail_proxy.operations import sync_log as operations
from mail_proxy.wire.sync_log import SyncLogOut

router = APIRouter(tags=["tenants"], route_class=Route)


@router.get("/tenant/{id}/sync-log")
async def list_calls(
    service: Service,
    caller: AnyCaller,
    id: PathId,
    limit: Annotated[int, Query(ge=1, le=100, description="How many calls.")] = 100,
) -> SyncLogOut:
    """The last calls to the tenant's application, the newest first; 100 are kept."""
    request = operations.CallFilter(limit)
    return await service.door.call(operations.list_calls, caller, request, id)
