"""An outcome is committed after the time at which its message is due again"""

from __future__ import annotations

import pytest
from tests.harness.log_lines import lines
from tests.harness.relay import locked
from tests.harness.running import eventually, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer


# On SQLite, no round can look for messages while another transaction writes.
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_message_that_became_due_before_the_commit_is_not_overlooked(
    config: Settings,
    server: ScriptedSmtpServer,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "mail_proxy")
    server.on("end of data", Act.SILENCE, times=1)
    clock = JumpingClock()
    settings = config(retry={"retry_delays": "1"}, log_delivery_activity=True)
    async with running(settings, clock=clock) as post:
        await post.account(server)
        await post.add(mail())
        await server.wait_until(lambda: (1, "DATA") in server.commands)
        async with locked(database_url, "message_event"):
            await server.drop_connections(last_words="451 4.3.0 later")
            await eventually(lambda: bool(lines(caplog, "message.deferred")))
            clock.jump(5)
            # A round looks for what has become due, and finds the message still being sent.
            await post.run_now()
            for _ in range(50):  # as long as several rounds
                await post.message("m1")
        await post.reports.sent("m1")
    assert len(server.accepted) == 1
