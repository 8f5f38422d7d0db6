"""Routes of tenants and their keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import AdminCall, Call, PathId, Route
from mail_proxy.operations import tenants as operations
from mail_proxy.wire.tenants import (
    ApiKeyIn,
    ApiKeyOut,
    Done,
    NewApiKey,
    SyncStatusOut,
    TenantAnswer,
    TenantFields,
    TenantFilter,
    TenantIn,
    TenantRef,
    TenantSaved,
    TenantsOut,
)

ActiveOnly = Annotated[bool, Query(description="Leave out inactive tenants.")]
router = APIRouter(tags=["tenants"], route_class=Route)


@router.post("/tenant")
async def save(call: AdminCall, body: TenantIn) -> TenantSaved:
    """Create or change a tenant. A new tenant's answer shows its `api_key`, once."""
    return await call(operations.save, body)


@router.get("/tenants")
async def list_tenants(call: AdminCall, active_only: ActiveOnly = False) -> TenantsOut:
    """List all tenants."""
    request = TenantFilter(active_only=active_only)
    return await call(operations.list_tenants, request)


@router.get("/tenants/sync-status")
async def sync_status(call: AdminCall) -> SyncStatusOut:
    """List when each tenant's application was called last, and whether a call is due."""
    return await call(operations.sync_status, None)


@router.get("/tenant/{id}")
async def get(call: Call, id: PathId) -> TenantAnswer:
    """Return one tenant."""
    return await call(operations.get, None, id)


@router.put("/tenant/{id}")
async def update(call: Call, id: PathId, body: TenantFields) -> TenantAnswer:
    """Change the given fields of a tenant."""
    return await call(operations.update, body, id)


@router.delete("/tenant/{id}")
async def delete(call: AdminCall, id: PathId) -> Done:
    """Remove a tenant with all its data; `default` cannot be removed.

    A tenant with many messages is made inactive at once, and removed before the answer. If the
    call is interrupted, the tenant stays inactive; repeat the call.
    """
    return await call(operations.delete, TenantRef(id=id))


@router.post("/tenant/{id}/api-key")
async def make_key(call: AdminCall, id: PathId, body: ApiKeyIn | None = None) -> ApiKeyOut:
    """Make a new key; the previous one stops working at once."""
    wanted = body or ApiKeyIn()
    request = NewApiKey(id=id, **wanted.model_dump(exclude_unset=True))
    return await call(operations.make_key, request)


@router.delete("/tenant/{id}/api-key")
async def revoke_key(call: AdminCall, id: PathId) -> Done:
    """Revoke the tenant's key."""
    return await call(operations.revoke_key, TenantRef(id=id))
