"""A password that the provider changed on Friday night, and an operator who is back on Sunday.

Nothing is lost, nobody names a message, and the status says all the time what has to be mended.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.harness.log_lines import lines
from tests.harness.patience import PATIENCE_SECONDS
from tests.harness.running import Post, mail, running, settings

from mail_proxy.operations import accounts, messages, service
from mail_proxy.operations.callers import Caller
from mail_proxy.testing.clock import JumpingClock
from mail_proxy.testing.smtp_server import ScriptedSmtpServer
from mail_proxy.wire.messages import MessageQuery
from mail_proxy.wire.service import StatusQuery

ADMIN = Caller(None)
HOUR = 3600.0
#: From Friday, 22:00, to Sunday, 10:00, in steps of three hours.
STEPS = 12
STEP_HOURS = 3
#: With each step the application hands over so many.
MAILS = 3


class Weekend:
    """The proxy, its clock and the provider, which knows one password."""

    def __init__(self, post: Post, clock: JumpingClock) -> None:
        self.post = post
        self.clock = clock
        self.users = {"shop": "old password"}
        self.provider = ScriptedSmtpServer(users=self.users)
        self.handed_over: list[str] = []

    async def account(self, password: str) -> None:
        fields = {"user": "shop", "password": password}
        await self.post.account(self.provider, **fields)

    async def hand_over(self) -> None:
        ids = [f"order-{len(self.handed_over) + n}" for n in range(MAILS)]
        self.handed_over += ids
        await self.post.add(*(mail(id_) for id_ in ids))

    def tried(self) -> int:
        """How often the proxy has tried to log in."""
        return sum(text.startswith("AUTH") for _, text in self.provider.commands)

    async def status(self) -> dict[str, Any]:
        call, query = self.post.proxy.door.call, StatusQuery(full=True)
        return (await call(service.status, ADMIN, query)).model_dump()

    async def waits(self, count: int) -> dict[str, Any]:
        """The status, once so many messages wait for the account."""
        return await self._status_with({"account_paused": count})

    async def all_is_well(self) -> None:
        """Return once nothing waits and nothing needs attention."""
        status = await self._status_with({})
        assert status["attention"] == []

    async def _status_with(self, waiting: dict[str, int]) -> dict[str, Any]:
        # Counts may be some seconds old on a slow machine.
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (status := await self.status())["waiting"] != waiting:
                await asyncio.sleep(0.01)
        return status

    async def time_passes(self) -> None:
        """The next hours, in which the account is tried again."""
        tried = self.tried()
        self.clock.jump(STEP_HOURS * HOUR)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.provider.wait_until(lambda: self.tried() > tried)


async def test_a_wrong_password_from_friday_night_to_sunday_loses_nothing(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = JumpingClock()
    config = settings(database_url, tmp_path, timing={"send_loop_interval": 0.1})
    async with running(config, clock=clock) as post:
        weekend = Weekend(post, clock)
        async with weekend.provider:
            await _friday(weekend)
            since = await _until_sunday(weekend)
            await _sunday(weekend, since)
        paused = lines(caplog, "account.paused")
        assert paused[0]["reason"].count("535") == 1
        # One line at the begin; the clock of the machine, which spaces the others, has not moved.
        assert len(paused) <= 2
        (healed,) = lines(caplog, "account.resumed")
        assert healed["account_id"] == "smtp"
        assert lines(caplog, "message.error") == lines(caplog, "messages.given_up") == []


async def _friday(weekend: Weekend) -> None:
    """All is well, and then the provider changes the password."""
    await weekend.account("old password")
    await weekend.hand_over()
    await weekend.provider.received(len(weekend.handed_over))
    await weekend.post.reports.sent(*weekend.handed_over)
    await weekend.all_is_well()
    weekend.users["shop"] = "new password"
    await weekend.provider.drop_connections()


async def _until_sunday(weekend: Weekend) -> int:
    """Everything waits, and the status says why, since when, and how much."""
    since: int | None = None
    for step in range(1, STEPS + 1):
        await weekend.hand_over()
        if step > 1:
            await weekend.time_passes()
        status = await weekend.waits(step * MAILS)
        (entry,) = [e for e in status["attention"] if e["code"] == "account_paused"]
        assert (entry["tenant_id"], entry["account_id"]) == ("default", "smtp")
        assert entry["waiting"] == step * MAILS
        assert "535" in entry["text"]
        since = since or entry["since_ts"]
        assert entry["since_ts"] == since, "the trouble began on Friday and is still the same"
    assert since is not None
    listed = await weekend.post.proxy.door.call(accounts.list_accounts, ADMIN, None)
    assert (listed.accounts[0].health, "535" in (listed.accounts[0].last_error or "")) == (
        *("paused", True),
    )
    # Providers lock accounts that try too often.
    assert weekend.tried() <= 3 * STEPS
    return since


async def _sunday(weekend: Weekend, since: int) -> None:
    """The operator saves the new password, and does nothing else."""
    assert weekend.clock.now() - since >= (STEPS - 1) * STEP_HOURS * HOUR
    await weekend.account("new password")
    ids = weekend.handed_over
    await weekend.provider.received(len(ids))
    await weekend.post.reports.sent(*ids)
    mails = sorted(
        m.data.split(b"X-Genro-Mail-ID: ")[1].split(b"\r\n")[0].decode()
        for m in weekend.provider.accepted
    )
    assert mails == sorted(ids), "each message once"
    await weekend.all_is_well()
    call, failed = weekend.post.proxy.door.call, MessageQuery(status=["error"])
    assert (await call(messages.list_messages, ADMIN, failed)).messages == []
    for kinds in map(weekend.post.reports.kinds, ids):
        assert (kinds[-1], kinds.count("sent"), kinds.count("error")) == ("sent", 1, 0)
