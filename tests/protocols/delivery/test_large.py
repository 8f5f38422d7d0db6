"""Mails of which a process takes only a few in hand at once."""

from __future__ import annotations

import pytest
from tests.harness.running import mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import ScriptedSmtpServer

#: Memory is counted in the process, the same way with both databases.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_MEGABYTE_OF_LINES = ("x" * 70 + "\r\n") * (10**6 // 72)


@ONE_DATABASE
async def test_the_next_ones_follow_at_once(config: Settings, server: ScriptedSmtpServer) -> None:
    ids = ["m1", "m2", "m3"]
    async with running(config(scheduler_active=False)) as post:
        await post.account(server)
        for id_ in ids:
            await post.add(mail(id_, body=24 * _MEGABYTE_OF_LINES))
    async with running(config()) as post:
        await post.reports.sent(*ids)
    assert len(server.accepted) == 3
