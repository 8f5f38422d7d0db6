"""What becomes of messages, as metrics."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.running import Post, mail, running
from tests.harness.scrape import Scrape
from tests.protocols.delivery.conftest import Settings

from mail_proxy.config import RetryConfig
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.testing.clock import FakeClock, JumpingClock
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

#: Longer than messages wait for an account in trouble.
_LONGEST_WAIT_SECONDS = RetryConfig().account_trouble_max_wait + 1


async def scrape(post: Post) -> Scrape:
    return Scrape((await post.proxy.monitoring.text()).decode())


async def test_delivery_takes_from_when_a_message_is_due(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    clock = JumpingClock()
    async with running(config(), clock=clock) as post:
        await post.account(server)
        await post.add(mail("scheduled", deferred_ts=clock.now() + 10_000))
        clock.jump(10_500)
        await post.run_now()
        await post.reports.sent("scheduled")
        assert 500 <= (await scrape(post))("gmp_delivery_seconds_sum") < 600

        server.on_recipient("busy@x.example", "450 4.2.1 busy", times=1)
        await post.add(mail("greylisted", to="busy@x.example"))
        (deferred,) = await post.reports.wait_for("deferred", "greylisted")
        clock.jump(deferred["retry_ts"] - clock.now() + 1000)
        await post.run_now()
        await post.reports.sent("greylisted")
        shown = await scrape(post)
    assert shown("gmp_delivery_seconds_count") == 2
    # The report tells the next attempt in whole seconds.
    assert 1490 <= shown("gmp_delivery_seconds_sum") < 1600


async def test_the_oldest_pending_message_is_the_one_that_has_been_due_longest(
    config: Settings,
) -> None:
    clock = FakeClock()
    async with running(config(scheduler_active=False), clock=clock) as post:

        async def shows(*oldest: float) -> None:
            """Return once a scrape shows it: what takes long to count is cached for seconds."""
            found: list[float] = []
            async with asyncio.timeout(PATIENCE_SECONDS):
                while found != list(oldest):
                    await asyncio.sleep(0.01)
                    shown = await scrape(post)
                    seconds = "gmp_oldest_pending_seconds"
                    found = [
                        shown(seconds, account_id=i)
                        for i in ("a", "b")
                        if shown.has(seconds, account_id=i)
                    ]

        await post.account(25, "a")
        await post.account(25, "b")
        await post.add(mail("tomorrow", deferred_ts=clock.now() + 86400, account_id="a"))
        clock.advance(100)
        await shows(0, 0)
        await post.add(mail("urgent", priority=0, account_id="a"))
        clock.advance(30)
        await post.add(mail("bulk", priority="low", account_id="a"))
        await post.add(mail("other", account_id="b"))
        clock.advance(5)
        await shows(35, 5)
        await post.delete("urgent")
        await shows(5, 5)
        await post.remove_account("b")
        await shows(5)


async def test_messages_that_waited_too_long_for_their_account_are_errors(
    config: Settings, unused_port: int
) -> None:
    clock = JumpingClock()
    ids = [f"m{n}" for n in range(3)]
    async with running(config(), clock=clock) as post:
        await post.account(unused_port)
        await post.add(mail(ids[0]))
        await post.reports.wait_for("deferred", ids[0])
        await post.add(*(mail(i) for i in ids[1:]))
        assert (await scrape(post))("gmp_errors_total") == 0
        clock.jump(_LONGEST_WAIT_SECONDS)
        await post.run_now()
        await post.reports.wait_for("error", *ids)
        assert (await scrape(post))("gmp_errors_total", account_id="smtp") == 3


def test_what_only_other_processes_know_of_is_in_the_sum() -> None:
    """With many accounts, this process announces none of their counters."""
    ours = MailMetrics()
    folder = str(ours.of_workers)
    try:
        ours.of_account("t", 'so-called "a"\\').sent.inc(2)
        for _ in range(2):
            subprocess.run(
                [sys.executable, "-c", _WORKER],
                env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": folder},
                check=True,
                timeout=60,
            )
        for _ in range(2):  # the second one counts nothing twice
            shown = Scrape(ours.text().decode())
            assert shown("gmp_sent_total", account_id='so-called "a"\\') == 8
            assert shown("gmp_sent_total", account_id="theirs") == 2
            delivery = {"tenant_id": "t", "account_id": "theirs"}
            bucket = "gmp_delivery_seconds_bucket"
            found = [shown(bucket, **delivery, le=le) for le in ("0.5", "1.0", "60.0", "+Inf")]
            assert found == [0, 2, 4, 6]
            assert shown("gmp_delivery_seconds_count", **delivery) == 6
            assert shown("gmp_delivery_seconds_sum", **delivery) == 2 * (1 + 30 + 1e6)
    finally:
        ours.close()


_WORKER = """
from mail_proxy.telemetry.metrics import MailMetrics
metrics = MailMetrics.for_a_worker()
metrics.of_account("t", 'so-called "a"\\\\').sent.inc(3)
theirs = metrics.of_account("t", "theirs")
theirs.sent.inc()
theirs.delivery.observe_all([1.0, 30.0, 1e6])
"""
