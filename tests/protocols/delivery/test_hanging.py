"""Servers that take a connection and then say nothing hold up nobody but their own accounts."""

from __future__ import annotations

import pytest
from tests.harness.running import eventually, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer, Stage

SILENCES: list[Stage] = ["connect", "MAIL", "DATA", "end of data"]
CONNECTIONS, ACCOUNTS, EACH = 6, 8, 3
#: Nobody waits at the end for what hangs.
QUICK_END = {"shutdown_timeout": 0.0}


@pytest.mark.parametrize("stage", SILENCES)
@pytest.mark.parametrize("tenants", [1, ACCOUNTS], ids=["one tenant", "a tenant each"])
async def test_accounts_that_hang_do_not_hold_all_connections(
    config: Settings, server: ScriptedSmtpServer, tenants: int, stage: Stage
) -> None:
    limits = {"max_concurrent_sends": CONNECTIONS, "max_concurrent_per_account": EACH}
    settings = config(concurrency=limits, timing=QUICK_END)
    async with ScriptedSmtpServer() as hanging, running(settings) as post:
        hanging.on(stage, Act.SILENCE)
        for tenant in range(tenants):
            await post.tenant(f"t{tenant}")
        records = []
        for number in range(ACCOUNTS):
            owner = {"tenant_id": f"t{number % tenants}"}
            await post.account(hanging, f"hangs{number}", **owner)
            where = {**owner, "account_id": f"hangs{number}"}
            records += [mail(f"{number}-{i}", **where) for i in range(EACH)]
        await post.account(server, "works", tenant_id="t0")
        await post.add(*records)
        await eventually(lambda: hanging.connections >= CONNECTIONS)
        ids = [f"m{i}" for i in range(20)]
        await post.add(*(mail(i, tenant_id="t0", account_id="works") for i in ids))
        await post.reports.sent(*ids)
        assert hanging.accepted == []


async def test_large_messages_that_hang_do_not_fill_the_process(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    settings = config(timing=QUICK_END)
    async with ScriptedSmtpServer() as hanging, running(settings) as post:
        hanging.on("end of data", Act.SILENCE)
        await post.account(hanging, "hangs")
        await post.account(server, "works")
        body = "x" * 990 + "\n"
        large = [mail(f"l{i}", account_id="hangs", body=body * 20_000) for i in range(8)]
        await post.add(*large)
        await hanging.wait_until(lambda: (1, "DATA") in hanging.commands)
        await post.add(mail("small", account_id="works"))
        await post.reports.sent("small")
