"""GET /status?full=true says what waits, why, and what somebody has to mend."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.scrape import Scrape
from tests.protocols.rest.client import Client

from mail_proxy.domain.waiting import WaitReason
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

FULL = "/status?full=true"


async def attention(client: Client, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.ok("GET", FULL, **options))["attention"]
    return found


async def test_nothing_needs_attention(client: Client, smtp: ScriptedSmtpServer) -> None:
    await client.account(smtp)
    await client.add("m")
    await client.in_state("sent", "m")
    shown = await client.ok("GET", FULL)
    assert (shown["waiting"], shown["oldest_due_seconds"], shown["attention"]) == ({}, None, [])
    short = await client.ok("GET", "/status")
    assert not {"waiting", "oldest_due_seconds", "attention"} & set(short)


async def test_the_full_state_shows_the_last_day_accounts_reports_and_processes(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    smtp.on_recipient("never@example.net", "550 5.1.1 no such user")
    await client.account(smtp)
    await client.add("m")
    await client.add("e", to=["never@example.net"])
    await client.in_state("sent", "m")
    await client.in_state("error", "e")
    await client.reported("m", "e")
    shown = await client.ok("GET", FULL)
    assert shown["last_24h"] == {"sent": 1, "error": 1, "bounced": 0}
    assert shown["accounts"] == {"total": 1, "paused": 0}
    assert shown["reports"] == {"failing": 0, "oldest_seconds": None}
    assert [process["pid"] for process in shown["processes"]] == [os.getpid()]
    assert shown["last_backup_ts"] is None
    if shown["database"] == "sqlite":
        assert shown["disk"]["free_mb"] > shown["disk"]["min_free_mb"] == 100.0
    else:
        assert shown["disk"] is None


async def test_a_tenant_sees_nothing_of_hosts_and_of_other_tenants(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.add("m")
    await client.in_state("sent", "m")
    key = await client.tenant("t")
    own = await client.ok("GET", FULL, token=key)
    assert not {"processes", "disk"} & set(own)
    assert own["last_24h"] == {"sent": 0, "error": 0, "bounced": 0}
    assert own["accounts"] == {"total": 0, "paused": 0}
    assert own["reports"] == {"failing": 0, "oldest_seconds": None}


async def test_reports_that_are_not_acknowledged_have_an_age(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    await client.account(smtp)
    await client.add("m")
    await client.in_state("sent", "m")
    assert (await client.ok("GET", FULL))["reports"]["oldest_seconds"] is None  # no URL
    endpoint.default = Reply(status=500)
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    await endpoint.wait_for(1)
    assert (await client.ok("GET", FULL))["reports"]["oldest_seconds"] >= 0


async def test_waiting_messages_are_counted_by_the_reasons_of_the_listing(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on_recipient("later@example.net", "450 4.2.1 mailbox busy")
    await client.account(smtp)
    await client.account(smtp, id="limited", limit_per_day=1)
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.add("scheduled", "scheduled2", account_id="smtp", deferred_ts=4e9)
    await client.add("suspended", account_id="smtp", batch_code="spring")
    await client.add("retried", account_id="smtp", to=["later@example.net"])
    await client.add("first", account_id="limited")
    await client.in_state("sent", "first")
    await client.add("second", account_id="limited")
    await client.in_state("deferred", "retried")
    counted = (await client.ok("GET", FULL))["waiting"]
    assert counted == {"scheduled": 2, "suspended": 1, "retry": 1, "rate_limit": 1}
    for reason, count in counted.items():
        listed = (await client.ok("GET", f"/messages?waiting={reason}"))["messages"]
        assert len(listed) == count
    shown = Scrape((await client.http.get("/metrics")).text)
    reasons = shown.values_of("gmp_waiting_messages", "reason")
    assert reasons == set(WaitReason)
    scraped = {reason: shown("gmp_waiting_messages", reason=reason) for reason in reasons}
    assert {reason: count for reason, count in scraped.items() if count} == counted


async def test_a_paused_account_needs_attention_until_it_works(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp)
    await client.add("m1", "m2")
    await client.in_state("deferred", "m1")
    (found,) = await attention(client)
    assert found["since_ts"] > 1_700_000_000
    assert "no mail from you" in found["text"]
    named = {name: found[name] for name in ("code", "tenant_id", "account_id", "waiting")}
    assert named == {
        "code": "account_paused",
        "tenant_id": "default",
        "account_id": "smtp",
        "waiting": 2,
    }
    smtp.forget_script()
    await client.ok("POST", "/account/smtp/test")
    await client.in_state("sent", "m1", "m2")
    assert await attention(client) == []


async def test_a_removed_account_needs_no_attention(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp)
    await client.add("m")
    await client.in_state("deferred", "m")
    assert len(await attention(client)) == 1
    await client.ok("DELETE", "/account/smtp")
    assert await attention(client) == []
    assert (await client.ok("GET", FULL))["accounts"] == {"total": 0, "paused": 0}


async def test_a_tenant_key_sees_its_own_troubles(client: Client, smtp: ScriptedSmtpServer) -> None:
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp)
    await client.add("m1")
    await client.in_state("deferred", "m1")
    key = await client.tenant("t")
    assert await attention(client, token=key) == []
    assert len(await attention(client)) == 1


async def test_an_application_that_takes_no_reports_needs_attention(
    client: Client, endpoint: SyncEndpoint
) -> None:
    endpoint.default = Reply(status=500)
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    await endpoint.wait_for(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await attention(client)):
            await asyncio.sleep(0.01)
    assert [(one["code"], one["tenant_id"]) for one in found] == [("reports_failing", "default")]


async def test_a_dispatcher_that_is_off_needs_attention_if_messages_wait(idle: Client) -> None:
    assert await attention(idle) == []
    await idle.add("m")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (listed := await attention(idle)):  # counts may be some seconds old
            await asyncio.sleep(0.01)
    (found,) = listed
    assert (found["code"], found["waiting"]) == ("dispatcher_stopped", 1)
