"""Processes that deliver beside the one with the API."""

from __future__ import annotations

import os
import signal

import pytest
from tests.harness.log_lines import lines
from tests.harness.running import delivering, eventually, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer


async def test_they_send_at_once_and_what_they_did_is_told(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with running(config(concurrency={"workers": 2})) as post:
        assert len(delivering()) == 2
        await post.account(server)
        ids = [f"m{n}" for n in range(30)]
        await post.add(*(mail(i) for i in ids))
        await post.reports.sent(*ids)
        assert (await post.status()).scheduler_active
        text = (await post.proxy.monitoring.text()).decode()
        assert 'gmp_sent_total{account_id="smtp",tenant_id="default"} 30.0' in text
        assert await post.proxy.monitoring.not_ready_reason() is None
    assert delivering() == set()
    assert len(server.accepted) == 30


async def test_a_changed_account_is_what_they_use_next(
    config: Settings, server: ScriptedSmtpServer, unused_port: int
) -> None:
    async with running(config(concurrency={"workers": 1})) as post:
        await post.account(unused_port)
        await post.add(mail())
        await post.in_state("m1", "deferred")
        await post.account(server)
        await post.reports.sent("m1")


async def test_one_that_is_killed_is_replaced_and_its_mail_is_sent(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    server.on("DATA", Act.SILENCE, times=1)
    async with running(config(concurrency={"workers": 1})) as post:
        await post.account(server)
        await post.add(mail())
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        (pid,) = delivering()
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: not post.proxy.monitoring.delivers)
        assert await post.proxy.monitoring.not_ready_reason() == "the dispatcher does not run"
        await post.reports.sent("m1")
        assert delivering() != {pid}
    assert len(server.accepted) == 1


async def test_one_that_ends_again_and_again_is_logged_at_first_only(
    config: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    killed: set[int] = set()
    async with running(config(concurrency={"workers": 1})) as post:
        for _ in range(3):
            await eventually(lambda: bool(delivering() - killed) and post.proxy.monitoring.delivers)
            (pid,) = delivering()
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
            await eventually(lambda: not post.proxy.monitoring.delivers)
    assert [line["worker"] for line in lines(caplog, "worker.ended")] == [1]


async def test_a_stop_sends_nothing_twice(config: Settings, server: ScriptedSmtpServer) -> None:
    ids = [f"m{n}" for n in range(300)]
    async with running(config(concurrency={"workers": 2})) as post:
        await post.account(server)
        await post.add(*(mail(i) for i in ids))
        await server.received(10)
    assert delivering() == set()
    async with running(config(), reports=post.reports):
        await post.reports.sent(*ids)
    assert len(server.accepted) == len(ids)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_signals_to_one_of_them_lose_nothing(
    config: Settings, server: ScriptedSmtpServer, how: signal.Signals
) -> None:
    """SIGTERM ends it cleanly and another comes; SIGINT, as from a terminal, is the parent's."""
    async with running(config(concurrency={"workers": 2})) as post:
        await post.account(server)
        os.kill(min(delivering()), how)
        ids = [f"m{n}" for n in range(20)]
        await post.add(*(mail(i) for i in ids))
        await post.reports.sent(*ids)
    assert len(server.accepted) == 20


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_another_host_is_woken_at_once(config: Settings, server: ScriptedSmtpServer) -> None:
    """One that only takes in, beside one that delivers; only PostgreSQL has several hosts."""
    async with (
        running(config()) as delivers,
        running(config(scheduler_active=False), reports=delivers.reports) as takes_in,
    ):
        await takes_in.account(server)
        await takes_in.add(mail())
        await delivers.reports.sent("m1")
