"""What a tenant sees of its calls, and how it makes them signed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError
from tests.harness.patience import PATIENCE_SECONDS
from tests.protocols.rest.client import ONE_DATABASE, Client

from mail_proxy.sql import Connection, SqlDb
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.testing.sync_endpoint import Reply, ReportCall, SyncEndpoint

FIRST = "whsec_" + "Zmlyc3Qgc2VjcmV0IG9mIDMyIGJ5dGVzISEhISEhISE="
SECOND = "whsec_" + "c2Vjb25kIHNlY3JldCBvZiAzMyBieXRlcyEhISEhISEh"


class Application:
    """A tenant's application that is called when it asks for it."""

    def __init__(self, client: Client, endpoint: SyncEndpoint) -> None:
        self.client = client
        self.endpoint = endpoint

    async def change(self, **fields: Any) -> None:
        await self.quiet()
        await self.client.ok("PUT", "/tenant/default", fields)

    async def quiet(self) -> None:
        """Return once no call is due, and all that were made are in the log."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                status = (await self.client.ok("GET", "/tenants/sync-status"))["tenants"]
                log = (await self.client.ok("GET", "/tenant/default/sync-log"))["calls"]
                due = any(tenant["next_sync_due"] for tenant in status)
                if not due and len(log) == len(self.endpoint.calls):
                    return
                await asyncio.sleep(0.01)

    async def call(self) -> ReportCall:
        count = len(self.endpoint.calls) + 1
        await self.client.ok("POST", "/commands/run-now?tenant_id=default")
        return (await self.endpoint.wait_for(count))[-1]


@pytest.fixture
async def application(client: Client, endpoint: SyncEndpoint) -> Application:
    application = Application(client, endpoint)
    await application.change(client_base_url=endpoint.url)
    await endpoint.wait_for(1)
    return application


async def test_a_secret_signs_its_successor_too_and_none_signs_nothing(
    application: Application,
) -> None:
    await application.change(signing_secret=FIRST)
    call = await application.call()
    call.verify(FIRST)
    with pytest.raises(WebhookVerificationError):
        call.verify(SECOND)

    await application.change(signing_secret=SECOND)
    call = await application.call()
    call.verify(FIRST)
    call.verify(SECOND)

    await application.change(signing_secret="********", name="the secret stays as it was")
    call = await application.call()
    call.verify(SECOND)

    await application.change(signing_secret=None)
    call = await application.call()
    assert "webhook-signature" not in call.headers


async def test_the_log_shows_the_calls_without_any_secret(
    application: Application, endpoint: SyncEndpoint, client: Client
) -> None:
    auth = {"method": "bearer", "token": "s3cret-token"}
    await application.change(signing_secret=FIRST, client_auth=auth)
    endpoint.script(Reply(b"", status=500, body=b"s3cret answer"))
    failed = await application.call()
    await application.call()

    async def calls(query: str = "") -> list[dict[str, Any]]:
        response = await client("GET", f"/tenant/default/sync-log{query}")
        assert response.status_code == 200
        assert "s3cret" not in response.text
        assert FIRST not in response.text
        return list(response.json()["calls"])

    newest = (await wait_for_calls(client, 3))[0]
    assert (newest["outcome"], newest["status"], newest["error"]) == ("ok", 200, None)
    assert len(await calls("?limit=2")) == 2
    second = next(call for call in await calls() if call["outcome"] == "status")
    assert second.pop("seconds") >= 0
    assert second.pop("called_ts") <= newest["called_ts"]
    assert second == {
        "outcome": "status",
        "status": 500,
        "error": "HTTP 500",
        "reports": 0,
        "acknowledged": 0,
        "bytes_sent": len(failed.body),
        "bytes_received": 0,
    }


async def wait_for_calls(client: Client, count: int) -> list[dict[str, Any]]:
    """The answer of a call comes before its row."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found: list[dict[str, Any]] = (await client.ok("GET", "/tenant/default/sync-log"))[
                "calls"
            ]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.01)


@ONE_DATABASE
async def test_how_many_calls_are_shown_is_bounded(idle: Client) -> None:
    assert await idle.ok("GET", "/tenant/default/sync-log") == {"ok": True, "calls": []}
    for limit in ("0", "101", "many"):
        response = await idle("GET", f"/tenant/default/sync-log?limit={limit}")
        assert response.status_code == 422
        assert response.json()["detail"][0]["field"] == "limit"
    assert (await idle("GET", "/tenant/nobody/sync-log")).status_code == 404


async def test_a_corrected_address_is_called_at_once(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint, db: SqlDb
) -> None:
    await client.account(smtp)
    await client.ok("PUT", "/tenant/default", {"client_base_url": "http://127.0.0.1:1"})
    await client.add("m")
    await wait_for_calls(client, 1)
    await db.write(lengthen_the_back_off)
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    await endpoint.wait_for_report("m")


async def test_a_change_that_is_not_about_calls_leaves_the_back_off(
    client: Client, smtp: ScriptedSmtpServer, endpoint: SyncEndpoint, db: SqlDb
) -> None:
    endpoint.default = Reply(status=500)
    await client.account(smtp)
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    await client.add("m")
    await wait_for_calls(client, 1)
    await db.write(lengthen_the_back_off)
    before = len(endpoint.calls)
    for name in ("a", "b", "c"):
        await client.ok("PUT", "/tenant/default", {"name": name})
    await client.add("n")
    await client.in_state("sent", "n")
    assert len(endpoint.calls) == before


def lengthen_the_back_off(connection: Connection) -> None:
    """Put the next call off until after the end of any test."""
    connection.exec_driver_sql("UPDATE tenant_sync SET next_due_at = next_due_at + 100000")


async def test_a_change_during_a_call_counts_for_the_call_that_follows_it(
    client: Client, endpoint: SyncEndpoint
) -> None:
    answered = asyncio.Event()
    endpoint.script(Reply({"queued": 1}, after=answered))
    await client.ok("PUT", "/tenant/default", {"client_base_url": endpoint.url})
    await endpoint.wait_for(1)
    async with SyncEndpoint() as new:
        auth = {"method": "bearer", "token": "new"}
        fields = {"client_base_url": new.url, "client_auth": auth}
        await client.ok("PUT", "/tenant/default", fields)
        answered.set()
        (call,) = await new.wait_for(1)
    assert call.headers["authorization"] == "Bearer new"
    assert len(endpoint.calls) == 1
