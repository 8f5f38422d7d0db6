"""SMTP accounts."""

from __future__ import annotations

from fastapi import APIRouter

from mail_proxy.api.deps import AnyCaller, PathId, Route, Service, TenantQuery
from mail_proxy.operations import accounts as operations
from mail_proxy.wire.accounts import (
    AccountAnswer,
    AccountIn,
    AccountSaved,
    AccountsOut,
    AccountTestOut,
)
from mail_proxy.wire.tenants import Done

router = APIRouter(tags=["accounts"], route_class=Route)


@router.post("/account")
async def save(service: Service, caller: AnyCaller, body: AccountIn) -> AccountSaved:
    """Create an account, or change the given fields of an old one."""
    return await service.door.call(operations.save, caller, body, body.tenant_id)


@router.get("/accounts")
async def list_accounts(
    service: Service, caller: AnyCaller, tenant_id: TenantQuery = None
) -> AccountsOut:
    """The tenant's accounts; no secret is ever returned."""
    return await service.door.call(operations.list_accounts, caller, None, tenant_id)


@router.get("/account/{id}")
async def get(
    service: Service, caller: AnyCaller, id: PathId, tenant_id: TenantQuery = None
) -> AccountAnswer:
    """One account."""
    request = operations.AccountRef(id)
    return await service.door.call(operations.get, caller, request, tenant_id)


@router.delete("/account/{id}")
async def delete(
    service: Service, caller: AnyCaller, id: PathId, tenant_id: TenantQuery = None
) -> Done:
    """Remove an account; its queued messages end in `error` and are reported."""
    request = operations.AccountRef(id)
    return await service.upkeep.delete_account(caller, request, tenant_id)


@router.post("/account/{id}/test")
async def test(
    service: Service, caller: AnyCaller, id: PathId, tenant_id: TenantQuery = None
) -> AccountTestOut:
    """Connect, TLS, log in, quit; takes half a minute at most."""
    request = operations.AccountRef(id)
    return await service.account_test.run(caller, request, tenant_id)
