"""POST /commands/add-messages: what replaces what, and what comes too late."""

from __future__ import annotations

from typing import Any

from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

FAR = 4_000_000_000


async def refusal(client: Client, id_: str, **fields: Any) -> str:
    """Why a message is not taken in."""
    mail = {"id": id_, "from": "a@example.org", "to": ["b@example.net"], "subject": "s"}
    response = await client("POST", "/commands/add-messages", {"messages": [{**mail, **fields}]})
    assert response.status_code == 400
    (rejected,) = response.json()["detail"]["rejected"]
    assert rejected["id"] == id_
    return str(rejected["reason"])


async def test_a_scheduled_message_is_replaced_as_a_whole(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    first = {"deferred_ts": FAR, "expires_ts": FAR + 5, "batch_code": "old", "priority": 3}
    await client.add("m", **first)
    before = await client.message("m")
    assert (before["deferred_ts"], before["expires_ts"]) == (FAR, FAR + 5)

    await client.add("m", to=["c@example.net"], subject="new")

    (mail,) = await smtp.received(1)
    assert mail.recipients == ("c@example.net",)
    assert b"Subject: new\r\n" in mail.data
    after = await client.message("m")
    assert after["pk"] == before["pk"]
    changed = ("batch_code", "expires_ts", "priority")
    assert [after[name] for name in changed] == [None, None, 2]
    kinds = [e["event_type"] for e in await client.events("m")]
    assert kinds[:2] == ["queued", "queued"]


async def test_a_deferred_message_is_replaced_with_a_fresh_retry_count(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    smtp.on("MAIL", "451 4.3.0 later", times=1)
    await client.add("m")
    await client.in_state("deferred", "m")
    assert (await client.message("m"))["retry_count"] == 1

    await client.add("m", subject="new", deferred_ts=FAR)
    shown = await client.message("m")
    assert (shown["status"], shown["retry_count"], shown["error"]) == ("pending", 0, None)
    assert (shown["deferred_ts"], shown["subject"]) == (FAR, "new")
    await client.add("m")
    await smtp.received(1)


async def test_what_is_sent_being_sent_or_failed_is_not_replaced(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.add("sent")
    await client.in_state("sent", "sent")
    assert await refusal(client, "sent") == "already sent"
    smtp.on_recipient("gone@example.net", "550 5.1.1 no such user")
    await client.add("failed", to=["gone@example.net"])
    await client.in_state("error", "failed")
    assert await refusal(client, "failed") == "already failed"
    smtp.on("end of data", Act.SILENCE)
    await client.add("sending")
    await client.in_state("sending", "sending")
    assert await refusal(client, "sending") == "in progress"
    await smtp.drop_connections()


async def test_what_has_expired_is_not_sent(client: Client, smtp: ScriptedSmtpServer) -> None:
    await client.account(smtp)
    await client.add("late", expires_ts=1)
    await client.in_state("error", "late")
    shown = await client.message("late")
    assert shown["error"] == "expired"
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.add("held", batch_code="spring", expires_ts=1)
    await client.ok("POST", "/commands/activate?batch_code=spring")
    await client.in_state("error", "held")
    events = await client.events("held")
    assert [e["event_type"] for e in events] == ["queued", "error"]
    assert events[-1]["event_data"]["error"] == "expired"
    assert smtp.accepted == []


async def test_one_that_would_have_expired_is_saved_by_its_replacement(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.ok("POST", "/commands/suspend")
    await client.add("m", expires_ts=1)
    await client.add("m", expires_ts=FAR)
    await client.ok("POST", "/commands/activate")
    await client.in_state("sent", "m")
