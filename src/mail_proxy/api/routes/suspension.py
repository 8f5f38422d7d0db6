"""Suspend and activate."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import AnyCaller, Route, Service, TenantQuery
from mail_proxy.operations import suspension as operations
from mail_proxy.wire.fields import Identifier
from mail_proxy.wire.suspension import SuspensionOut

BatchQuery = Annotated[
    Identifier | None,
    Query(description="One batch; without it everything of the tenant."),
]
router = APIRouter(tags=["messages"], route_class=Route)


@router.post("/commands/suspend")
async def suspend(
    service: Service,
    caller: AnyCaller,
    tenant_id: TenantQuery = None,
    batch_code: BatchQuery = None,
) -> SuspensionOut:
    """Stop sending for the tenant, or for one batch. Suspending twice changes nothing."""
    request = operations.BatchRef(batch_code)
    return await service.upkeep.suspend_or_activate(operations.suspend, caller, request, tenant_id)


@router.post("/commands/activate")
async def activate(
    service: Service,
    caller: AnyCaller,
    tenant_id: TenantQuery = None,
    batch_code: BatchQuery = None,
) -> SuspensionOut:
    """Resume one batch, or without `batch_code` everything of the tenant."""
    request = operations.BatchRef(batch_code)
    return await service.upkeep.suspend_or_activate(operations.activate, caller, request, tenant_id)
