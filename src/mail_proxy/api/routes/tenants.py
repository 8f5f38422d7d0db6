"""Tenants and their keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from mail_proxy.api.deps import Admin, AnyCaller, PathId, Route, Service
from mail_proxy.operations import tenants as operations
from mail_proxy.wire.tenants import (
    ApiKeyIn,
    ApiKeyOut,
    Done,
    SyncStatusOut,
    TenantAnswer,
    TenantFields,
    TenantIn,
    TenantSaved,
    TenantsOut,
)

ActiveOnly = Annotated[bool, Query(description="Leave out tenants that are switched off.")]
router = APIRouter(tags=["tenants"], route_class=Route)


@router.post("/tenant")
async def save(service: Service, caller: Admin, body: TenantIn) -> TenantSaved:
    """Create or update a tenant; a new one's answer carries `api_key`, once."""
    return await service.door.call(operations.save, caller, body)


@router.get("/tenants")
async def list_tenants(
    service: Service, caller: Admin, active_only: ActiveOnly = False
) -> TenantsOut:
    """All tenants."""
    request = operations.TenantFilter(active_only)
    return await service.door.call(operations.list_tenants, caller, request)


@router.get("/tenants/sync-status")
async def sync_status(service: Service, caller: Admin) -> SyncStatusOut:
    """When each tenant's application was called last, and whether it is due."""
    return await service.door.call(operations.sync_status, caller, None)


@router.get("/tenant/{id}")
async def get(service: Service, caller: AnyCaller, id: PathId) -> TenantAnswer:
    """One tenant."""
    return await service.door.call(operations.get, caller, None, id)


@router.put("/tenant/{id}")
async def update(
    service: Service, caller: AnyCaller, id: PathId, body: TenantFields
) -> TenantAnswer:
    """Change the given fields of a tenant only."""
    return await service.door.call(operations.update, caller, body, id)


@router.delete("/tenant/{id}")
async def delete(service: Service, caller: Admin, id: PathId) -> Done:
    """Remove a tenant with all its data; `default` cannot be removed.

    A tenant with many messages is switched off at once, and gone when this answers. Broken off
    before that, it stays switched off; repeat the call then.
    """
    return await service.upkeep.delete_tenant(caller, operations.ForTenant(id))


@router.post("/tenant/{id}/api-key")
async def make_key(
    service: Service, caller: Admin, id: PathId, body: ApiKeyIn | None = None
) -> ApiKeyOut:
    """A new key; the old one stops working at once."""
    return await service.door.call(operations.make_key, caller, operations.ForTenant(id, body))


@router.delete("/tenant/{id}/api-key")
async def revoke_key(service: Service, caller: Admin, id: PathId) -> Done:
    """Revoke the key."""
    return await service.door.call(operations.revoke_key, caller, operations.ForTenant(id))
