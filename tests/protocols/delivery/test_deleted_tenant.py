"""A tenant is deleted while its mail is being sent, or waits for its account"""

from __future__ import annotations

import logging

import pytest
from tests.harness.running import Post, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.operations import tenants
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer
from mail_proxy.wire.tenants import TenantRef


async def _delete(post: Post) -> None:
    await post.proxy.door.call(tenants.delete, Caller(None), TenantRef(id="acme"))


def _faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.parametrize("reply", ["250 2.0.0 queued", "451 4.3.0 later", "550 5.1.1 no such user"])
async def test_the_outcome_of_mail_under_way_is_dropped_without_a_fault(
    config: Settings, server: ScriptedSmtpServer, caplog: pytest.LogCaptureFixture, reply: str
) -> None:
    server.on("end of data", Act.SILENCE, times=1)
    async with running(config()) as post:
        await post.tenant("acme")
        await post.account(server, tenant_id="acme")
        await post.add(mail(tenant_id="acme"))
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        await _delete(post)
        await server.drop_connections(last_words=reply)
        # Mail of another tenant goes on, and so does the process.
        await post.account(server)
        await post.add(mail("m2"))
        await post.reports.sent("m2")
    assert not _faults(caplog)


async def test_mail_that_waits_for_a_paused_account_is_gone_with_its_tenant(
    config: Settings, server: ScriptedSmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.on("connect", ("421 4.7.0 not now", Act.DROP), times=1)
    clock = JumpingClock()
    async with running(config(), clock=clock) as post:
        await post.tenant("acme")
        await post.account(server, tenant_id="acme")
        await post.add(mail(tenant_id="acme"))
        await post.in_state("m1", "deferred", "acme")
        await _delete(post)
        clock.jump(3600)
        await post.run_now()
        await post.account(server)
        await post.add(mail("m2"))
        await post.reports.sent("m2")
    assert not _faults(caplog)
    assert [b"About m2" in m.data for m in server.accepted] == [True]
