"""POST /commands/suspend and /commands/activate, with the queue behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.protocols.rest.client import Client, serving

from mail_proxy.config import ProxyConfig
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


async def test_a_star_is_everything_as_it_is_in_the_answers(idle: Client) -> None:
    await idle.add("a", batch_code="spring")
    await idle.add("b")
    everything = {"ok": True, "tenant_id": "default", "batch_code": None, "pending_messages": 2}
    answer = await idle.ok("POST", "/commands/suspend?batch_code=*")
    assert answer == {**everything, "suspended_batches": ["*"]}
    assert (await idle("POST", "/commands/activate?batch_code=spring")).status_code == 409
    answer = await idle.ok("POST", "/commands/activate?batch_code=*")
    assert answer == {**everything, "suspended_batches": []}


async def test_calls_to_two_processes_at_the_same_time_all_succeed(
    idle: Client, config: ProxyConfig
) -> None:
    async with serving(config.model_copy(update={"scheduler_active": False})) as other:
        for what in ("suspend", "suspend", "activate"):
            paths = [f"/commands/{what}?batch_code=b{n}" for n in range(10)]
            calls = [client("POST", path) for path in paths for client in (idle, other)]
            answers = await asyncio.gather(*calls)
            assert {a.status_code for a in answers} == {200}
