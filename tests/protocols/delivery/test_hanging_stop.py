"""A stop has one time limit for everything that it waits for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

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
    reports = Deaf()
    async with running(config(timing={"shutdown_timeout": 4}), reports=reports) as post:
        await post.account(server)
        await post.add(mail("m1"))
        await reports.called.wait()
        server.on("end of data", Act.SILENCE)
        await post.add(mail("m2"))
        await server.wait_until(lambda: len([c for _, c in server.commands if c == "DATA"]) == 2)
        started = time.monotonic()
    assert time.monotonic() - started < 7
