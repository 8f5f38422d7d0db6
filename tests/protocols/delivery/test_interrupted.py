"""The database is away, and the lease with it, while mail is being sent: no second copy."""

from __future__ import annotations

import asyncio

import pytest
from tests.harness.log_lines import lines
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.relay import locked
from tests.harness.running import eventually, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.sql import Connection, SqlDb
from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer


async def test_what_a_probe_has_sent_is_recorded_before_the_account_is_called_healthy(
    config: Settings,
    server: ScriptedSmtpServer,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A stop that is cut short breaks off whoever waits for the database."""
    server.on("connect", ("421 4.7.0 not now", Act.DROP), times=1)
    server.on("end of data", Act.SILENCE, times=1)
    clock = JumpingClock()
    async with running(config(timing={"shutdown_timeout": 1}), clock=clock) as post:
        await post.account(server)
        await post.add(mail())
        await post.in_state("m1", "deferred")
        clock.jump(60)
        await post.run_now()
        await server.wait_until(lambda: (2, "DATA") in server.commands)
        async with locked(database_url, "account_health"):
            await server.drop_connections(last_words="250 2.0.0 queued")
            stop = asyncio.create_task(post.proxy.stop())
            await eventually(lambda: bool(lines(caplog, "dispatcher.cut_short")))
        await stop
    async with running(config(scheduler_active=False), clock=clock) as post:
        assert (await post.message("m1")).status == "sent"


async def test_mail_is_broken_off_when_the_lease_has_ended_though_its_renewal_hangs(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    server.on("DATA", Act.SILENCE, times=1)
    # The server would be given up only after send_timeout, which is 300 s.
    async with running(config(timing={"lease_seconds": 5})) as post:
        await post.account(server)
        await post.add(mail())
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        async with locked(database_url, "dispatcher"), asyncio.timeout(PATIENCE_SECONDS):
            await server.wait_until(lambda: server.open_connections == 0)
        await post.reports.sent("m1")
    assert len(server.accepted) == 1


async def test_who_finds_its_lease_gone_breaks_off_what_it_sends_before_it_sends_again(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    """A machine that slept: others have given its messages back meanwhile."""
    server.on("DATA", Act.SILENCE, times=1)
    async with running(config(timing={"lease_seconds": 5})) as post:
        await post.account(server)
        await post.add(mail())
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        await forget_dispatchers(database_url)
        await server.received(1)
        assert server.open_connections == 1, "the first attempt still goes on"
        await post.reports.sent("m1")


async def forget_dispatchers(url: str) -> None:
    db = SqlDb(url)

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM dispatcher")

    await db.write(work)
    await db.close()
