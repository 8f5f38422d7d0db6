"""A stop has one time limit for everything that it waits for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.harness.patience import with_growing_patience
from tests.harness.running import Reports, mail, running
from tests.protocols.delivery.conftest import Settings

from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer


class Deaf(Reports):
    """An application that takes calls and never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()

    async def __call__(self, payload: dict[str, Any]) -> dict[str, Any]:
        self.called.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_a_server_and_an_application_that_hang_are_waited_for_at_the_same_time(
    config: Settings, server: ScriptedSmtpServer
) -> None:
    async def attempt(seconds: float) -> None:
        server.forget_script()
        server.commands.clear()
        reports = Deaf()
        limit = config(timing={"shutdown_timeout": seconds})
        async with running(limit, reports=reports) as post:
            await post.account(server)
            await post.add(mail(f"told {seconds}"))
            await reports.called.wait()
            server.on("end of data", Act.SILENCE)
            await post.add(mail(f"held {seconds}"))
            await server.wait_until(lambda: [c for _, c in server.commands].count("DATA") == 2)
            started = time.monotonic()
        assert time.monotonic() - started < 1.75 * seconds

    await with_growing_patience(attempt, (3.0, 10.0, 30.0))
