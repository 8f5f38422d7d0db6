"""What is sent when, and in which order."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.harness.patience import PATIENCE_SECONDS, with_growing_patience
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.errors import NothingUsable
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

ONE_LANE = {"max_connections": 1}


def order(server: ScriptedSmtpServer) -> list[str]:
    """Ids in the order in which the server took them."""
    heads = [accepted.data.partition(b"X-Genro-Mail-ID: ")[2] for accepted in server.accepted]
    return [head.partition(b"\r\n")[0].decode() for head in heads]


async def test_an_idle_proxy_sends_at_once_without_waiting_for_its_poll(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)
        for number in range(5):
            started = time.monotonic()
            await post.add(mail(f"m{number}"))
            await server.received(number + 1)
            assert time.monotonic() - started < PATIENCE_SECONDS  # the poll is every 360 s


async def test_messages_of_one_priority_go_in_the_order_in_which_they_came(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    ids = [f"m{i}" for i in range(150)]
    async with running(config()) as post:
        await post.account(server, **ONE_LANE)
        await post.add(*(mail(i) for i in ids[:70]))
        await post.add(*(mail(i) for i in ids[70:]))
        await post.reports.sent(*ids)
    assert order(server) == ids


async def test_more_urgent_messages_go_first(config: Settings, server: ScriptedSmtpServer) -> None:
    later = FakeClock()
    async with running(config(), clock=later) as post:
        await post.account(server, **ONE_LANE)
        due = later.now() + 10
        records = [
            mail("low", priority="low", deferred_ts=due),
            mail("medium", deferred_ts=due),
            mail("high", priority=1, deferred_ts=due),
            mail("immediate", priority="immediate", deferred_ts=due),
        ]
        await post.add(*records)
        later.advance(10)
        await post.add(mail("last", priority="low"))
        await post.reports.sent("last")
    assert order(server) == ["immediate", "high", "medium", "low", "last"]


async def test_an_immediate_message_overtakes_a_backlog_that_is_already_claimed(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    async with running(config()) as post:
        await post.account(server, **ONE_LANE)
        ids = [f"m{i}" for i in range(40)]
        await post.add(*(mail(i) for i in ids))
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        await post.add(mail("now", priority="immediate"))
        await post.in_state("now", "sending")
        await server.drop_connections()
        await post.reports.sent("now")
    # The envelope behind the message that hangs was on its way already.
    assert "now" in order(server)[:2]


async def test_the_priority_of_the_call_counts_where_a_message_has_none(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config(scheduler_active=False, queue={"default_priority": "low"})) as post:
        await post.account(server)
        await post.add(mail("own", priority=0), mail("call"), default_priority="high")
        await post.add(mail("instance"))
        found = [(await post.message(i)).priority for i in ("own", "call", "instance")]
    assert found == [0, 1, 3]


async def test_a_message_does_not_go_before_its_time_and_then_goes_without_a_poll(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)
        due = time.time() + 0.4
        await post.add(mail("later", deferred_ts=due), mail("now"))
        await server.received(1)
        if time.time() < due:  # otherwise both were due when they came
            assert order(server) == ["now"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.received(2)
        assert time.time() >= due


async def test_a_scheduled_message_goes_on_time_while_another_account_is_paused(
    config: Settings, server: ScriptedSmtpServer, unused_port: int
) -> None:
    async with running(config()) as post:
        await post.account(server, "good", is_default=True)
        await post.account(unused_port, "bad")
        await post.add(mail("stuck", account_id="bad"))
        await post.reports.wait_for("deferred", "stuck")
        await post.add(mail("later", deferred_ts=time.time() + 0.4))
        await post.reports.sent("later")


async def add_in_time(post: Post, record: dict[str, Any]) -> None:
    """Queue a message before it expires; AssertionError if the machine is too slow."""
    try:
        await post.add(record)
    except NothingUsable as error:
        raise AssertionError(error.message) from None


async def test_a_message_that_is_past_its_expiry_is_not_sent(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config()) as post:
        await post.account(server)

        async def attempt(seconds: float) -> None:
            end = time.time() + seconds
            await add_in_time(post, mail(f"{seconds}", deferred_ts=end, expires_ts=end))
            assert await post.reports.error(f"{seconds}") == "expired"

        await with_growing_patience(attempt)
        await post.add(mail("fresh", expires_ts=4e9))
        await post.reports.sent("fresh")
    assert order(server) == ["fresh"]


async def test_a_message_that_waits_for_a_retry_expires_on_time(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("MAIL", "450 4.2.0 later")
    async with running(config()) as post:
        await post.account(server)

        async def attempt(seconds: float) -> None:
            id_ = f"within {seconds} s"
            await add_in_time(post, mail(id_, expires_ts=time.time() + seconds))
            assert await post.reports.error(id_) == "expired"
            # An attempt, whose retry is due in a minute, and the expiry before that.
            assert post.reports.kinds(id_) == ["deferred", "error"]

        await with_growing_patience(attempt)


async def test_a_long_backlog_drains_over_several_connections_without_a_pause(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    ids = [f"m{i}" for i in range(1200)]
    async with running(config()) as post:
        await post.account(server, max_connections=4)
        await post.add(*(mail(i) for i in ids))
        await post.reports.sent(*ids)
    assert sorted(order(server)) == sorted(ids)
    assert {accepted.session for accepted in server.accepted} >= {1, 2, 3, 4}


async def test_in_test_mode_nothing_is_sent_until_run_now_asks_for_it(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    settings = config(test_mode=True, timing={"send_loop_interval": 0.001})
    async with running(settings) as post:
        await post.account(server)
        await post.add(mail("m1"))
        await post.run_now()
        await server.received(1)
        await post.add(mail("m2"))
        await post.account(server, "changed")
        statuses = {(await post.message("m2")).status for _ in range(50)}
    async with running(settings) as post:
        statuses |= {(await post.message("m2")).status for _ in range(50)}
        assert statuses == {"pending"}
        await post.run_now()
        await server.received(2)
    assert order(server) == ["m1", "m2"]
