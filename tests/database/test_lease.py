"""Who may send: dispatchers that share a database, and what their clocks do to them."""

from __future__ import annotations

import asyncio

import pytest
from tests.harness.relay import locked
from tests.harness.rows import add_messages, add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.lease import Lease
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock

SECONDS = 30.0
HOUR = 3600.0


class Host:
    """One host: its clocks, and the lease of its dispatcher. Time goes on for all hosts alike."""

    def __init__(self, db: SqlDb, tables: Tables, name: str, seconds: float = SECONDS) -> None:
        self.clock = HostClock()
        directory = Directory(db, tables, ConcurrencyConfig())
        limiter = RateLimiter(tables.rate_use, directory)
        self.lease = Lease(db, tables.queue, limiter, self.clock, seconds, host=name)


class HostClock(FakeClock):
    def __init__(self) -> None:
        super().__init__()
        self.wrong_by = 0.0

    def now(self) -> float:
        return super().now() + self.wrong_by


@pytest.fixture
async def account(db: SqlDb, tables: Tables) -> str:
    account = await add_tenant(db, tables, "t")
    await add_messages(db, tables, "t", account, ["m", "n"])
    return account


async def claimed_by(db: SqlDb, tables: Tables, account: str, host: Host) -> int:
    def work(connection: Connection) -> int:
        found = tables.queue.due(connection, [account], 2, 2e9, 10)
        tables.queue.claim(connection, host.lease.dispatcher_id, found)
        return len(found)

    return await db.write(work)


def pass_time(hosts: list[Host], seconds: float) -> None:
    for host in hosts:
        host.clock.advance(seconds)


async def test_the_messages_of_a_host_that_died_are_given_back_after_its_lease(
    db: SqlDb, tables: Tables, account: str
) -> None:
    first, second = Host(db, tables, "first"), Host(db, tables, "second")
    await first.lease.keep()
    assert await claimed_by(db, tables, account, first) == 2
    assert await second.lease.keep() == 0
    pass_time([first, second], SECONDS - 1)
    assert await second.lease.keep() == 0
    assert not first.lease.valid, "it must have stopped before others begin"
    pass_time([first, second], 1)
    assert await second.lease.keep() == 2
    assert await claimed_by(db, tables, account, second) == 2


@pytest.mark.parametrize("wrong_by", [HOUR, -HOUR, 10 * HOUR], ids=["ahead", "behind", "far"])
async def test_a_wrong_clock_neither_costs_the_living_their_lease_nor_keeps_the_dead(
    db: SqlDb, tables: Tables, account: str, wrong_by: float
) -> None:
    first, second = Host(db, tables, "first"), Host(db, tables, "second")
    await first.lease.keep()
    await second.lease.keep()
    assert await claimed_by(db, tables, account, first) == 2
    second.clock.wrong_by = wrong_by
    for _ in range(10):
        pass_time([first, second], SECONDS / 3)
        await first.lease.keep()
        assert await second.lease.keep() == 0
        assert first.lease.valid
        assert second.lease.valid
    pass_time([first, second], SECONDS)
    assert await second.lease.keep() == 2


async def test_a_clock_that_is_set_changes_nothing_between_two_dispatchers_of_one_host(
    db: SqlDb, tables: Tables, account: str
) -> None:
    first, second = Host(db, tables, "same"), Host(db, tables, "same")
    await first.lease.keep()
    await second.lease.keep()
    assert await claimed_by(db, tables, account, first) == 2
    for jump in (HOUR, -HOUR):
        first.clock.wrong_by += jump
        second.clock.wrong_by += jump
        pass_time([first, second], SECONDS / 3)
        assert await second.lease.keep() == 0
        assert await first.lease.keep() == 0
    assert await claimed_by(db, tables, account, second) == 0


async def test_who_was_not_valid_comes_back_under_another_name_and_gives_all_back(
    db: SqlDb, tables: Tables, account: str
) -> None:
    host = Host(db, tables, "only")
    await host.lease.keep()
    assert await claimed_by(db, tables, account, host) == 2
    before = host.lease.dispatcher_id
    pass_time([host], SECONDS)
    assert not host.lease.valid
    assert await host.lease.keep(reacquire=True) == 2
    assert host.lease.dispatcher_id != before
    assert await claimed_by(db, tables, account, host) == 2


async def test_a_longer_lease_of_another_dispatcher_is_respected(
    db: SqlDb, tables: Tables, account: str
) -> None:
    patient, hasty = Host(db, tables, "a", seconds=90), Host(db, tables, "b", seconds=5)
    await patient.lease.keep()
    assert await claimed_by(db, tables, account, patient) == 2
    for _ in range(17):
        assert await hasty.lease.keep() == 0
        pass_time([patient, hasty], 5)
    pass_time([patient, hasty], 5)
    assert await hasty.lease.keep() == 2


async def test_a_renewal_that_comes_too_late_does_not_bring_it_back(
    db: SqlDb, tables: Tables, account: str, database_url: str
) -> None:
    """What was broken off when it ran out would stay claimed for good."""
    host = Host(db, tables, "only")
    await host.lease.keep()
    assert await claimed_by(db, tables, account, host) == 2
    pass_time([host], SECONDS / 2)
    async with locked(database_url, "dispatcher"):
        renewing = asyncio.create_task(host.lease.keep())
        await asyncio.sleep(0)
        pass_time([host], SECONDS / 3)
    await renewing
    assert not host.lease.valid
    assert await host.lease.keep(reacquire=True) == 2
    assert host.lease.valid
