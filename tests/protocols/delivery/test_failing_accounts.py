"""A tenant with hundreds of accounts that all fail, and its neighbour"""

from __future__ import annotations

import time
from pathlib import Path

from tests.harness.running import eventually, mail, running, settings

from mail_proxy.delivery.failure_shares import MOST_TRIALS
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

ACCOUNTS = 4 * MOST_TRIALS


async def test_failing_accounts_are_tried_a_few_each_second_and_neighbours_do_not_wait(
    database_url: str, tmp_path: Path
) -> None:
    config = settings(database_url, tmp_path, timing={"send_loop_interval": 1.0})
    async with (
        ScriptedSmtpServer() as works,
        ScriptedSmtpServer() as fails,
        running(config) as post,
    ):
        fails.on("connect", "421 4.3.2 not today")
        for tenant, server, count in (("good", works, 1), ("bad", fails, ACCOUNTS)):
            await post.tenant(tenant)
            for number in range(count):
                await post.account(server, f"a{number}", tenant_id=tenant)
        began = time.monotonic()
        await post.add(
            *(mail(f"b{n}", tenant_id="bad", account_id=f"a{n}") for n in range(ACCOUNTS))
        )
        await eventually(lambda: fails.connections >= MOST_TRIALS)
        for number in range(10):
            await post.add(mail(f"g{number}", tenant_id="good"))
            await works.received(number + 1)
        tried = fails.connections
        assert tried <= MOST_TRIALS + 10 + 5 * (time.monotonic() - began)
        # Each gets its turn, also while others of the tenant are tried again.
        await eventually(lambda: fails.connections >= MOST_TRIALS + 30)


async def test_accounts_that_work_take_nothing_from_the_share(
    database_url: str, tmp_path: Path
) -> None:
    config = settings(database_url, tmp_path, timing={"send_loop_interval": 1.0})
    async with ScriptedSmtpServer() as server, running(config) as post:
        for number in range(2 * MOST_TRIALS):
            await post.account(server, f"a{number}")
        await post.add(*(mail(f"m{n}", account_id=f"a{n}") for n in range(2 * MOST_TRIALS)))
        await server.received(2 * MOST_TRIALS)
