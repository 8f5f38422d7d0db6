"""Routes of SMTP accounts."""

from __future__ import annotations

from fastapi import APIRouter

from mail_proxy.api.deps import Call, PathId, Route, TenantQuery, tenant_of
from mail_proxy.operations import account_tests
from mail_proxy.operations import accounts as operations
from mail_proxy.wire.accounts import (
    AccountAnswer,
    AccountIn,
    AccountRef,
    AccountSaved,
    AccountsOut,
    AccountTest,
    AccountTestOptions,
    AccountTestOut,
    UnsavedAccountTest,
)
from mail_proxy.wire.tenants import Done

router = APIRouter(tags=["accounts"], route_class=Route)


@router.post("/account")
async def save(call: Call, body: AccountIn, tenant_id: TenantQuery = None) -> AccountSaved:
    """Create an account, or change the given fields of an existing one."""
    return await call(operations.save, body, tenant_of(tenant_id, body.tenant_id))


@router.get("/accounts")
async def list_accounts(call: Call, tenant_id: TenantQuery = None) -> AccountsOut:
    """List accounts; secrets are never returned."""
    return await call(operations.list_accounts, None, tenant_id)


@router.get("/account/{id}")
async def get(call: Call, id: PathId, tenant_id: TenantQuery = None) -> AccountAnswer:
    """Return one account."""
    request = AccountRef(id=id)
    return await call(operations.get, request, tenant_id)


@router.delete("/account/{id}")
async def delete(call: Call, id: PathId, tenant_id: TenantQuery = None) -> Done:
    """Remove an account; its queued messages end in `error` and are reported."""
    request = AccountRef(id=id)
    return await call(operations.delete, request, tenant_id)


@router.post("/account/test")
async def test_unsaved(
    call: Call, body: UnsavedAccountTest, tenant_id: TenantQuery = None
) -> AccountTestOut:
    """Test the fields of an account without saving them.

    With `id`, a saved account's other fields and password are used. Steps and answer are those of
    the test of a saved account.
    """
    return await call(account_tests.test_unsaved, body, tenant_of(tenant_id, body.tenant_id))


@router.post("/account/{id}/test")
async def test(
    call: Call,
    id: PathId,
    body: AccountTestOptions | None = None,
    tenant_id: TenantQuery = None,
) -> AccountTestOut:
    """Test an account: connect, TLS, log in, quit, each for at most 10 seconds.

    If a step fails, `hint` says what to change. A test that succeeds ends the account's pause,
    and `resumed` messages go on. With `to`, it sends a test mail before it quits.
    """
    options = body or AccountTestOptions()
    request = AccountTest(id=id, to=options.to)
    return await call(account_tests.test, request, tenant_of(tenant_id, options.tenant_id))
