"""The wall clock is set by an hour while the proxy works."""

from __future__ import annotations

import asyncio

import pytest
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.sql import Connection, SqlDb
from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

HOUR = 3600.0


async def test_set_back_what_was_due_is_sent_and_what_was_scheduled_is_not(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    clock = JumpingClock()
    async with running(config(scheduler_active=False), clock=clock) as post:
        await post.account(server)
        await post.add(mail("due"), mail("scheduled", deferred_ts=clock.now() + 300))
    clock.jump(-HOUR)
    async with running(config(), clock=clock) as post:
        await post.reports.sent("due")
        shown = await post.message("scheduled")
        assert shown.status == "pending"
        assert shown.deferred_ts is not None
        assert shown.deferred_ts > clock.now() + HOUR
    assert len(server.accepted) == 1


async def test_set_back_while_it_runs_a_retry_keeps_its_distance(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    clock = JumpingClock()
    server.on("MAIL", "451 4.3.0 later", times=1)
    async with running(config(retry={"retry_delays": "2,900"}), clock=clock) as post:
        await post.account(server)
        await post.add(mail())
        await post.reports.wait_for("deferred", "m1")
        clock.jump(-HOUR)
        await post.reports.sent("m1")
        await post.add(mail("m2"))
        await post.reports.sent("m2")


async def test_set_back_while_it_runs_an_account_in_trouble_is_tried_again_as_planned(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    clock = JumpingClock()
    server.on("connect", ("421 4.7.0 not now", Act.DROP))
    async with running(config(), clock=clock) as post:
        await post.account(server)
        await post.add(mail())
        await post.in_state("m1", "deferred")
        server.forget_script()
        clock.jump(-HOUR)
        await found(database_url, "SELECT max(retry_at) FROM account_health", clock.now() + 40)
        clock.jump(40)
        await post.run_now()
        await post.reports.sent("m1")


async def test_set_back_while_it_runs_a_rate_limit_is_not_longer_than_its_window(
    config: Settings, server: ScriptedSmtpServer, database_url: str
) -> None:
    clock = JumpingClock()
    async with running(config(), clock=clock) as post:
        await post.account(server, limit_per_minute=1)
        await post.add(mail("m1"), mail("m2"))
        await post.reports.sent("m1")
        clock.jump(-HOUR)
        await found(database_url, "SELECT max(bucket_at) FROM rate_use", clock.now() + 5)
        await post.run_now()
        assert len(server.accepted) == 1
        clock.jump(62)
        await post.run_now()
        await post.reports.sent("m2")


@pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["forward", "back"])
async def test_mail_that_is_being_sent_is_sent_once_whatever_the_clock_does(
    config: Settings, server: ScriptedSmtpServer, database_url: str, seconds: float
) -> None:
    """Also beside a second dispatcher, to which the leases are of another time."""
    clock = JumpingClock()
    short = config(timing={"lease_seconds": 10})
    server.on("end of data", Act.SILENCE, times=1)
    async with running(short, clock=clock) as first, running(short, clock=clock) as second:
        await first.account(server)
        await first.add(mail("held"))
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        clock.jump(seconds)
        if seconds > 0:
            leases = "SELECT -min(lease_until) FROM dispatcher"
            await found(database_url, leases, -clock.now())
        else:
            leases = "SELECT max(lease_until) FROM dispatcher"
            await found(database_url, leases, clock.now() + 15)
        # Both have looked at each other. Were the first message given back, it would come first.
        await second.add(mail("next"))
        await server.received(1)
        assert len([line for _, line in server.commands if line == "DATA"]) == 2
        server.forget_script()
        await server.drop_connections()


async def found(database_url: str, query: str, most: float) -> None:
    """Return once what the query finds is at most ``most``."""
    db = SqlDb(database_url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await db.read(_number, query) > most:
                await asyncio.sleep(0.02)
    finally:
        await db.close()


def _number(connection: Connection, query: str) -> float:
    return float(connection.exec_driver_sql(query).scalar_one())
