"""POST /commands/suspend and /commands/activate, with the queue behind them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.protocols.rest.client import Client

from mail_proxy.testing.smtp_server import AcceptedMail, ScriptedSmtpServer


def ids(mails: Sequence[AcceptedMail]) -> list[str]:
    """The tracking ids of mails, in the order in which they arrived."""
    lines = [line for m in mails for line in m.data.decode().splitlines()]
    return [line.split()[1] for line in lines if line.startswith("X-Genro-Mail-ID:")]


async def test_a_stopped_batch_waits_and_is_then_sent_in_order(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp, max_connections=1)
    answer = await client.ok("POST", "/commands/suspend?batch_code=spring")
    assert answer["pending_messages"] == 0
    names = [f"m{n}" for n in range(40)]
    await client.add(*names[:20], batch_code="spring")
    answer = await client.ok("POST", "/commands/suspend?batch_code=spring")
    assert answer["pending_messages"] == 20
    await client.add(*names[20:], batch_code="spring")
    await client.add("other")
    await client.in_state("sent", "other")
    assert ids(smtp.accepted) == ["other"]
    status = await client.ok("GET", "/status")
    assert status["pending_messages"] == 40
    listed = await client.ok("GET", "/messages?batch_code=spring&status=pending")
    assert len(listed["messages"]) == 40

    answer = await client.ok("POST", "/commands/activate?batch_code=spring")
    assert answer["pending_messages"] == 40
    assert ids(await smtp.received(41)) == ["other", *names]


async def test_replaced_and_removed_while_it_stands_still(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.add("m", "gone", batch_code="spring")
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.add("m", batch_code="spring", subject="better")
    body = {"ids": ["gone"]}
    assert (await client.ok("POST", "/commands/delete-messages", body))["removed"] == 1
    await client.ok("POST", "/commands/activate")
    (mail,) = await smtp.received(1)
    assert b"Subject: better\r\n" in mail.data
    await client.in_state("sent", "m")
    assert len(smtp.accepted) == 1


async def test_it_ends_with_its_account_and_is_retried_on_none(
    client: Client, smtp: ScriptedSmtpServer
) -> None:
    await client.account(smtp)
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.add("m", batch_code="spring")
    await client.ok("POST", "/commands/suspend?batch_code=spring")
    await client.ok("DELETE", "/account/smtp")
    shown = await client.message("m")
    assert (shown["status"], shown["error"]) == ("error", "account deleted")
    await client.account(smtp)
    answer = await client.ok("POST", "/commands/retry-messages", {"ids": ["m"]})
    assert answer["requeued"] == 0
