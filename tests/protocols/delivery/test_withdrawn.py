"""What is stopped while a session is being opened for it is not sent over that session."""

from __future__ import annotations

import pytest
from tests.harness.relay import relay_to
from tests.harness.running import Post, eventually, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.operations import suspension
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.suspension import BatchRef


async def test_what_expires_before_the_server_says_hello_is_not_sent(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    clock = JumpingClock()
    async with relay_to(server.port) as relay, running(config(), clock=clock) as post:
        relay.is_open.clear()
        await post.account(relay.port)
        await post.add(mail(expires_ts=clock.now() + 100))
        await eventually(lambda: relay.connections == 1)
        clock.jump(200)
        relay.is_open.set()
        assert await post.reports.error("m1") == "expired"
    assert server.accepted == []


@pytest.mark.parametrize("batch_code", [None, "campaign"])
async def test_what_is_suspended_before_the_server_says_hello_waits(
    config: Settings, server: ScriptedSmtpServer, batch_code: str | None
) -> None:
    async with relay_to(server.port) as relay, running(config()) as post:
        relay.is_open.clear()
        await post.account(relay.port)
        await post.add(mail(batch_code="campaign"))
        await eventually(lambda: relay.connections == 1)
        await call(post, suspension.suspend, batch_code)
        await post.proxy.follow_settings()
        relay.is_open.set()
        assert (await post.in_state("m1", "pending")).status == "pending"
        assert server.accepted == []
        await call(post, suspension.activate, batch_code)
        await post.reports.sent("m1")
    assert len(server.accepted) == 1


async def test_an_inactive_tenant_sends_nothing_over_a_session_that_opens_late(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async with relay_to(server.port) as relay, running(config()) as post:
        relay.is_open.clear()
        await post.account(relay.port)
        await post.add(mail())
        await eventually(lambda: relay.connections == 1)
        await post.tenant("default", active=False)
        await post.proxy.follow_settings()
        relay.is_open.set()
        await post.in_state("m1", "pending")
        await post.tenant("default", active=True)
        await post.reports.sent("m1")
    assert len(server.accepted) == 1


async def call(post: Post, operation: object, batch_code: str | None) -> None:
    which = BatchRef(batch_code=batch_code)
    await post.proxy.door.call(operation, Caller(None), which, "default")  # type: ignore[arg-type]
