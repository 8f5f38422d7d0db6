"""Calls that are about more messages than one transaction takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.protocols.rest.client import Client

from mail_proxy.operations import tenants
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.parts import Parts
from mail_proxy.proxy import MailProxy
from mail_proxy.wire.tenants import Done, TenantRef

#: More than go with the first transaction of a removal, and than one slice has at first.
MANY = 1200
LATER = 4_000_000_000


@pytest.fixture
async def acme(idle: Client) -> str:
    """The key of a tenant that has an account ``smtp`` with many messages, most of them held."""
    key = await idle.tenant("acme")
    account = {"id": "smtp", "tenant_id": "acme", "host": "127.0.0.1", "tls": "none"}
    await idle.ok("POST", "/account", account)
    for batch in ("spring", None):
        ids = [f"{batch}{number}" for number in range(MANY // 2)]
        fields = {"tenant_id": "acme", "batch_code": batch, "deferred_ts": LATER}
        await idle.add(*ids, **fields)
    await idle.add("other", deferred_ts=LATER, tenant_id="default")
    return key


async def _statuses(client: Client, tenant: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    cursor = ""
    while True:
        page = await client.ok("GET", f"/messages?tenant_id={tenant}&limit=1000{cursor}")
        for message in page["messages"]:
            counts[message["status"]] = counts.get(message["status"], 0) + 1
        if page["next_cursor"] is None:
            return counts
        cursor = f"&cursor={page['next_cursor']}"


async def test_a_tenant_goes_with_all_it_has(idle: Client, acme: str) -> None:
    await idle.ok("POST", "/commands/suspend?tenant_id=acme&batch_code=spring")
    assert await idle.ok("DELETE", "/tenant/acme") == {"ok": True}
    assert (await idle("GET", "/tenant/acme")).status_code == 404
    assert (await idle("GET", "/messages", token=acme)).status_code == 401
    assert await _statuses(idle, "default") == {"pending": 1}
    log: dict[str, Any] = await idle.ok("GET", "/command-log?endpoint=tenants.delete")
    assert [(c["tenant_id"], c["status"]) for c in log["commands"]] == [("acme", 200)]
    # The name is free again, and nothing of the old one comes with it.
    await idle.tenant("acme")
    assert await _statuses(idle, "acme") == {}


async def nothing_more(parts: Parts, order: object) -> Done:
    """The rest of an operation whose caller went away after the first commit."""
    return Done()


async def test_a_removal_that_was_broken_off_leaves_a_tenant_that_sends_nothing(
    idle: Client, acme: str
) -> None:
    proxy: MailProxy = idle.app.state.proxy
    broken_off = replace(tenants.delete, then=nothing_more)
    await proxy.door.call(broken_off, Caller(None), TenantRef(id="acme"))
    assert (await idle.ok("GET", "/tenant/acme"))["tenant"]["active"] is False
    assert (await idle("GET", "/messages", token=acme)).status_code == 403
    await idle.ok("DELETE", "/tenant/acme")
    assert (await idle("GET", "/tenant/acme")).status_code == 404


async def test_all_that_waits_for_an_account_ends_with_it(idle: Client, acme: str) -> None:
    await idle.ok("POST", "/commands/suspend?tenant_id=acme&batch_code=spring")
    await idle.ok("DELETE", "/account/smtp?tenant_id=acme")
    assert await _statuses(idle, "acme") == {"error": MANY}
    answer = await idle.ok("GET", "/messages?tenant_id=acme&limit=1", token=acme)
    assert answer["messages"][0]["error"] == "account deleted"
    assert await _statuses(idle, "default") == {"pending": 1}


async def test_a_suspension_tells_how_many_it_touches(idle: Client, acme: str) -> None:
    for call in ("suspend", "activate"):
        answer = await idle.ok("POST", f"/commands/{call}?tenant_id=acme&batch_code=spring")
        assert answer["pending_messages"] == MANY // 2
        answer = await idle.ok("POST", f"/commands/{call}?tenant_id=acme")
        assert answer["pending_messages"] == MANY
        await idle.ok("POST", "/commands/activate?tenant_id=acme")
