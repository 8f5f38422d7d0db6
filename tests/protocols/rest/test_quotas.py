"""Quotas of a tenant: of its messages, their size, its accounts and its calls"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import Client, serving

from mail_proxy.config import ProxyConfig, QuotaConfig

OWN: dict[str, Any] = {
    "max_queued_messages": 3,
    "max_queued_mb": 0.5,
    "max_accounts": 2,
    "max_calls_per_second": 100,
}


def mails(*ids: str, **fields: Any) -> dict[str, Any]:
    common = {"from": "a@example.org", "to": "b@example.net", "subject": "s", "body": "b"}
    return {"messages": [{**common, "id": id_, **fields} for id_ in ids]}


async def tenant(client: Client, id_: str = "acme", **fields: Any) -> str:
    """Make a tenant with an account; returns its key."""
    key = (await client.ok("POST", "/tenant", {"id": id_, **fields}))["api_key"]
    account = {"id": "smtp", "host": "127.0.0.1", "tls": "none", "tenant_id": id_}
    await client.ok("POST", "/account", account)
    return str(key)


async def accepted(client: Client, body: Any, key: str) -> None:
    """Return once the messages are taken: a full queue is counted again after a moment."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await status(client, body, key) != 200:
            await asyncio.sleep(0.01)


async def status(client: Client, body: Any, key: str, path: str = "/commands/add-messages") -> int:
    return (await client("POST", path, body, token=key)).status_code


@pytest.mark.parametrize(("name", "value"), OWN.items())
async def test_a_quota_of_a_tenant_is_shown_and_changed_by_the_administrator_alone(
    idle: Client, name: str, value: float
) -> None:
    key = await tenant(idle)
    assert (await idle.ok("GET", "/tenant/acme"))["tenant"][name] is None
    await idle.ok("PUT", "/tenant/acme", {name: value})
    shown = await idle.ok("GET", "/tenant/acme", token=key)
    assert shown["tenant"][name] == value
    for wanted in (value + 1, None):
        refused = await idle("PUT", "/tenant/acme", {name: wanted}, token=key)
        assert refused.status_code == 403
        assert name in refused.json()["error"]
    assert (await idle.ok("GET", "/tenant/acme"))["tenant"][name] == value
    await idle.ok("PUT", "/tenant/acme", {name: None})
    assert (await idle.ok("GET", "/tenant/acme"))["tenant"][name] is None
    for wrong in (0, -1, True, "many", 1e30):
        refused = await idle("PUT", "/tenant/acme", {name: wrong})
        assert refused.status_code == 422, wrong
        assert refused.json()["detail"][0]["field"] == name


async def test_more_queued_messages_than_the_quota_are_429_until_some_are_gone(
    idle: Client,
) -> None:
    key = await tenant(idle, max_queued_messages=3)
    other = await tenant(idle, "other")
    assert await status(idle, mails("a", "b"), key) == 200
    refused = await idle("POST", "/commands/add-messages", mails("c", "d"), token=key)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "2 messages are queued and 2 added; allowed: 3" in refused.json()["error"]
    assert (await idle("GET", "/messages/c", token=key)).status_code == 404
    assert await status(idle, mails("a", "b", "c", "d"), other) == 200
    await idle.ok("POST", "/commands/delete-messages", {"ids": ["a"]}, token=key)
    await accepted(idle, mails("c", "d"), key)
    await idle.ok("PUT", "/tenant/acme", {"max_queued_messages": 4})
    assert await status(idle, mails("e"), key) == 200
    assert await status(idle, mails("f"), key) == 429


async def test_more_megabytes_than_the_quota_are_429_until_some_are_gone(idle: Client) -> None:
    key = await tenant(idle, max_queued_mb=0.5)
    # Octets count, not characters.
    assert await status(idle, mails("a", body="\u20ac" * 100_000), key) == 200
    refused = await idle(
        "POST", "/commands/add-messages", mails("b", body="\u20ac" * 100_000), token=key
    )
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "allowed: 0.5 MB (max_queued_mb)" in refused.json()["error"]
    assert await status(idle, mails("small"), key) == 200
    await idle.ok("POST", "/commands/delete-messages", {"ids": ["a"]}, token=key)
    await accepted(idle, mails("b", body="\u20ac" * 100_000), key)


async def test_the_settings_hold_for_tenants_without_quotas_of_their_own(
    config: ProxyConfig,
) -> None:
    quotas = QuotaConfig(max_queued_mb=0.01, max_accounts=1)
    settings = {"scheduler_active": False, "quotas": quotas}
    async with serving(config.model_copy(update=settings)) as client:
        key = await tenant(client)
        assert await status(client, mails("a", body="b" * 10_000), key) == 429
        await client.ok("PUT", "/tenant/acme", {"max_queued_mb": 1})
        await accepted(client, mails("a", body="b" * 10_000), key)


async def test_more_accounts_than_the_quota_are_refused_and_not_created(idle: Client) -> None:
    key = await tenant(idle, max_accounts=2)
    hosts = [{"id": f"a{n}", "host": "192.0.2.1"} for n in range(5)]
    saved = await asyncio.gather(*(idle("POST", "/account", h, token=key) for h in hosts))
    assert sorted(answer.status_code for answer in saved) == [200, 409, 409, 409, 409]
    refused = next(answer for answer in saved if answer.status_code == 409)
    assert "the tenant has 2 accounts; allowed: 2" in refused.json()["error"]
    there = (await idle.ok("GET", "/accounts", token=key))["accounts"]
    assert len(there) == 2
    # A change of one that is there is no new one.
    ttl = {"id": there[0]["id"], "ttl": 60}
    assert await status(idle, ttl, key, "/account") == 200


async def test_more_calls_than_the_quota_are_429_for_this_tenant_alone(idle: Client) -> None:
    key = await tenant(idle, max_calls_per_second=0.5)
    other = await tenant(idle, "other")
    answers = [await idle("GET", "/accounts", token=key) for _ in range(10)]
    refused = [answer for answer in answers if answer.status_code == 429]
    # Five seconds' worth at once, and what comes while the test runs.
    assert refused
    assert all(int(answer.headers["Retry-After"]) in (1, 2) for answer in refused)
    assert "max_calls_per_second" in refused[0].json()["error"]
    for _ in range(10):
        await idle.ok("GET", "/accounts", token=other)
        await idle.ok("GET", "/accounts?tenant_id=acme")
