"""Routes that suspend and activate a queue or a batch."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import Call, Route, TenantQuery
from mail_proxy.operations import suspension as operations
from mail_proxy.wire.fields import Identifier
from mail_proxy.wire.suspension import BatchRef, SuspensionOut

BatchQuery = Annotated[
    Identifier | None,
    Query(description="One batch; without it, everything of the tenant."),
]
router = APIRouter(tags=["messages"], route_class=Route)


@router.post("/commands/suspend")
async def suspend(
    call: Call,
    tenant_id: TenantQuery = None,
    batch_code: BatchQuery = None,
) -> SuspensionOut:
    """Suspend sending for the tenant, or for one batch.

    Repeating the call changes nothing.
    """
    request = BatchRef(batch_code=batch_code)
    return await call(operations.suspend, request, tenant_id)


@router.post("/commands/activate")
async def activate(
    call: Call,
    tenant_id: TenantQuery = None,
    batch_code: BatchQuery = None,
) -> SuspensionOut:
    """Resume sending for one batch; without `batch_code`, for the whole tenant."""
    request = BatchRef(batch_code=batch_code)
    return await call(operations.activate, request, tenant_id)
