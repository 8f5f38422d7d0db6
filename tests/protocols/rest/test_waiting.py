"""GET /messages says why each message waits, and finds those that wait for one reason."""

from __future__ import annotations

from typing import Any

from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

FAR = 4_000_000_000


async def waiting(client: Client, reason: str) -> list[str]:
    """Return the ids of messages that wait for this reason, the oldest first."""
    found = await client.ok("GET", f"/messages?waiting={reason}")
    return [message["id"] for message in reversed(found["messages"])]


async def why(client: Client, id_: str) -> dict[str, Any]:
    wait: dict[str, Any] = (await client.message(id_))["waiting"]
    return wait


async def test_a_message_that_is_finished_waits_for_nothing(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.add("m")
    await client.in_state("sent", "m")
    assert (await client.message("m"))["waiting"] is None


async def test_what_a_message_waits_for(client: Client, smtp: ScriptedSmtpServer) -> None:
    smtp.on_recipient("later@example.net", "450 4.2.1 mailbox busy")
    await client.account(smtp)
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.add("scheduled", deferred_ts=FAR)
    await client.add("suspended", batch_code="spring")
    await client.add("retried", to=["later@example.net"])
    await client.in_state("deferred", "retried")

    assert await why(client, "scheduled") == {"reason": "scheduled", "until": FAR, "detail": None}
    assert await why(client, "suspended") == {
        "reason": "suspended",
        "until": None,
        "detail": "spring",
    }
    retried = await client.message("retried")
    assert retried["waiting"] == {
        "reason": "retry",
        "until": retried["deferred_ts"],
        "detail": retried["error"],
    }
    for reason in ("scheduled", "suspended"):
        assert await waiting(client, reason) == [reason]
    assert await waiting(client, "retry") == ["retried"]
    assert await waiting(client, "queue") == []


async def test_accounts_in_trouble_and_at_their_limit(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp, id="limited", limit_per_day=1)
    await client.add("first", account_id="limited")
    await client.in_state("sent", "first")
    await client.add("second", account_id="limited")
    limited = await why(client, "second")
    assert limited["reason"] == "rate_limit"
    assert limited["until"] == (await client.message("second"))["deferred_ts"]

    smtp.on("MAIL", "421 4.3.2 closing")
    smtp.on("connect", "554 5.7.1 no mail from you")
    await client.account(smtp, id="refused")
    await client.add("third", account_id="refused")
    await client.in_state("deferred", "third")
    paused = await why(client, "third")
    assert paused["reason"] == "account_paused"
    assert "no mail from you" in paused["detail"]
    assert await waiting(client, "rate_limit") == ["second"]
    assert await waiting(client, "account_paused") == ["third"]


async def test_a_dispatcher_that_is_off_and_an_inactive_tenant(idle: Client) -> None:
    await idle.add("m1", "m2")
    assert await why(idle, "m1") == {"reason": "stopped", "until": None, "detail": None}
    assert await waiting(idle, "stopped") == ["m1", "m2"]
    page = await idle.ok("GET", "/messages?waiting=stopped&limit=1")
    assert [m["id"] for m in page["messages"]] == ["m2"]
    page = await idle.ok("GET", f"/messages?waiting=stopped&cursor={page['next_cursor']}")
    assert ([m["id"] for m in page["messages"]], page["next_cursor"]) == (["m1"], None)
    await idle.ok("PUT", "/tenant/default", {"active": False})
    assert (await why(idle, "m1"))["reason"] == "tenant_inactive"


async def test_a_reason_that_is_none_is_refused(idle: Client) -> None:
    response = await idle("GET", "/messages?waiting=hunger")
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "waiting"
