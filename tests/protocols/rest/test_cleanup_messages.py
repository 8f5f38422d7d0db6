"""POST /commands/cleanup-messages"""

from __future__ import annotations

from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint

PATH = "/commands/cleanup-messages"


async def test_only_what_is_finished_and_reported_goes(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    await client.account(smtp)
    await client.add("untold")
    await client.in_state("sent", "untold")
    assert await client.ok("POST", PATH, {"older_than_seconds": 0}) == {"ok": True, "removed": 0}

    endpoint.default = Reply({"ok": True, "error": ["untold"]})
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    smtp.on_recipient("gone@example.net", "550 5.1.1 no such user")
    await client.add("sent")
    await client.add("failed", to=["gone@example.net"])
    await client.add("waiting", deferred_ts=4_000_000_000)
    await client.in_state("sent", "sent")
    await client.in_state("error", "failed")
    await client.reported("sent", "failed")

    assert (await client.ok("POST", PATH))["removed"] == 0
    assert (await client.ok("POST", PATH, {"older_than_seconds": 3600}))["removed"] == 0
    assert (await client.ok("POST", PATH, {"older_than_seconds": 0}))["removed"] == 2

    listed = (await client.ok("GET", "/messages"))["messages"]
    assert [m["id"] for m in listed] == ["waiting", "untold"]
    assert (await client("GET", "/messages/sent/events")).status_code == 404


async def test_without_a_body_the_tenants_retention_counts(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint
) -> None:
    fields = {"client_base_url": endpoint.url, "retention_seconds": 0}
    await client.ok("PUT", "/tenant/default", fields)
    await client.account(smtp)
    await client.add("m")
    await client.in_state("sent", "m")
    await client.reported("m")
    assert (await client.ok("POST", PATH))["removed"] == 1


async def test_whose_messages(client: Client, smtp: ScriptedSmtpServer) -> None:
    assert (await client.ok("POST", PATH))["removed"] == 0
    key = await client.tenant("t")
    assert (await client.ok("POST", PATH, token=key))["removed"] == 0
    response = await client("POST", PATH)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "tenant_id"
    response = await client("POST", f"{PATH}?tenant_id=default", token=key)
    assert response.status_code == 403
    response = await client("POST", f"{PATH}?tenant_id=t", {"older_than_seconds": -1})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "older_than_seconds"
