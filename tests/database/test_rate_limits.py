"""No window ever holds more than its limit, whoever claims and whenever."""

from __future__ import annotations

import itertools
import random

import pytest
from tests.database.test_queue import new, register
from tests.harness.rows import add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.claiming import Capacity, Claim, Claimer
from mail_proxy.delivery.fair_budget import FairBudget
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.limits import DAY, HOUR, MINUTE, WIDTHS
from mail_proxy.domain.outcome import Deferred, Failed, Outcome, Sent
from mail_proxy.domain.retry import RetryStrategy
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

START = 1_800_000_000.0
SENT = Sent((), 250, "ok")


class Sending:
    """Dispatchers without SMTP: they claim, and tell outcomes at times of the test's choice."""

    def __init__(self, db: SqlDb, tables: Tables, directory: Directory) -> None:
        self.db, self.tables, self.directory = db, tables, directory
        self.limiter = RateLimiter(tables.rate_use, directory)
        self.settlement = Settlement(RetryStrategy())

    async def claim(self, dispatcher: str, now: float, room: int = 1000) -> Claim:
        snapshot = await self.directory.current()
        capacity = Capacity(
            rooms=dict.fromkeys(snapshot.accounts, room),
            messages=FairBudget(10_000),
            octets=FairBudget(10**9),
            limited_until={},
        )
        claimer = Claimer(self.tables)
        return await self.db.write(claimer.claim, dispatcher, snapshot, capacity, now)

    async def finish(self, message: ClaimedMessage, now: float, outcome: Outcome = SENT) -> None:
        change = self.settlement.settle(message, outcome, now)

        def work(connection: Connection) -> None:
            assert self.tables.queue.record(connection, [change])
            self.limiter.count(connection, [(change.account_pk, change.tenant_id, change.state_at)])

        await self.db.write(work)


@pytest.fixture
async def sending(db: SqlDb, tables: Tables) -> Sending:
    await db.write(tables.instance.ensure, "test", START)
    return Sending(db, tables, Directory(db, tables, ConcurrencyConfig()))


async def set_limits(sending: Sending, account: str, **columns: int | str) -> None:
    identity = {"pk": account, "tenant_id": EVERY_TENANT}
    await sending.db.write(sending.tables.accounts.update, identity, columns)


async def queue(sending: Sending, account: str, count: int) -> None:
    messages = [new(account, f"m{i}", due=START) for i in range(count)]
    await sending.db.write(sending.tables.messages.add, messages)


def most_in_a_window(moments: list[float], window: int) -> int:
    ordered = sorted(moments)
    return max(sum(1 for m in ordered[i:] if m < first + window) for i, first in enumerate(ordered))


@pytest.mark.parametrize("seed", range(3))
async def test_four_dispatchers_never_exceed_a_limit_however_slow_the_server(
    db: SqlDb, tables: Tables, sending: Sending, seed: int
) -> None:
    account = await add_tenant(db, tables, "t", rate_limits={"hourly": 100})
    await set_limits(sending, account, limit_per_minute=10, limit_per_hour=60)
    await queue(sending, account, 150)
    dispatchers = [await register(db, tables) for _ in range(4)]
    chance = random.Random(seed)
    in_flight: list[tuple[float, ClaimedMessage]] = []
    accepted: list[float] = []
    now = START
    while now < START + 1.5 * HOUR:
        now += chance.uniform(0.5, 25)
        in_flight.sort(key=lambda pair: pair[0])
        while in_flight and in_flight[0][0] <= now:
            done_at, message = in_flight.pop(0)
            # The server takes the message a little before its answer is here.
            accepted.append(done_at - chance.uniform(0, 0.4))
            await sending.finish(message, done_at)
        claim = await sending.claim(chance.choice(dispatchers), now)
        in_flight += [(now + chance.uniform(0.4, 40), m) for m in claim.messages]
    assert most_in_a_window(accepted, MINUTE) <= 10
    assert most_in_a_window(accepted, HOUR) <= 60
    assert len(accepted) >= 60, "the limits are used, not only kept"


@pytest.mark.parametrize(
    ("window", "column"),
    [(MINUTE, "limit_per_minute"), (HOUR, "limit_per_hour"), (DAY, "limit_per_day")],
)
async def test_a_window_admits_again_no_later_than_one_counter_after_its_length(
    db: SqlDb, tables: Tables, sending: Sending, window: int, column: str
) -> None:
    account = await add_tenant(db, tables, "t")
    await set_limits(sending, account, **{column: 2})
    await queue(sending, account, 4)
    me = await register(db, tables)
    first = await sending.claim(me, START)
    assert len(first.messages) == 2
    assert first.limited[account] == START + 1.0  # those in flight decide
    for message in first.messages:
        await sending.finish(message, START + 0.5)
    again = await sending.claim(me, START + 1)
    assert again.messages == []
    admits_at = again.limited[account]
    assert START + 0.5 + window <= admits_at <= START + 0.5 + window + WIDTHS[window]
    assert (await sending.claim(me, admits_at - 0.01)).messages == []
    assert len((await sending.claim(me, admits_at)).messages) == 2


@pytest.mark.parametrize("outcome", [Failed("550 no", 550), Deferred("451 later", 451)])
async def test_what_the_server_refused_counts_as_used(
    db: SqlDb, tables: Tables, sending: Sending, outcome: Outcome
) -> None:
    account = await add_tenant(db, tables, "t")
    await set_limits(sending, account, limit_per_hour=1)
    await queue(sending, account, 3)
    me = await register(db, tables)
    (message,) = (await sending.claim(me, START)).messages
    await sending.finish(message, START + 1, outcome)
    assert (await sending.claim(me, START + HOUR)).messages == []
    assert len((await sending.claim(me, START + HOUR + 20)).messages) == 1


async def test_what_a_dead_dispatcher_may_have_sent_counts_as_used(
    db: SqlDb, tables: Tables, sending: Sending
) -> None:
    account = await add_tenant(db, tables, "t")
    await set_limits(sending, account, limit_per_minute=5)
    await queue(sending, account, 10)
    dead = await register(db, tables)
    alive = await register(db, tables)
    await sending.directory.current()
    assert len((await sending.claim(dead, START)).messages) == 5

    def rescue(connection: Connection) -> None:
        rescued = tables.queue.rescue(connection, [dead])
        sending.limiter.count(connection, [(a, t, START + 6) for a, t in rescued])

    await db.write(rescue)
    assert (await sending.claim(alive, START + 60)).messages == []
    assert len((await sending.claim(alive, START + 68)).messages) == 5


async def test_an_account_that_rejects_gives_up_what_the_limit_does_not_admit(
    db: SqlDb, tables: Tables, sending: Sending
) -> None:
    account = await add_tenant(db, tables, "t")
    await set_limits(sending, account, limit_per_minute=2, limit_behavior="reject")
    await queue(sending, account, 5)
    me = await register(db, tables)
    claim = await sending.claim(me, START)
    assert [m.id for m in claim.messages] == ["m0", "m1"]
    assert [m.id for m in claim.rejected] == ["m2", "m3", "m4"]


async def test_a_backlog_behind_a_limit_is_not_written_to(
    db: SqlDb, tables: Tables, sending: Sending
) -> None:
    account = await add_tenant(db, tables, "t")
    await set_limits(sending, account, limit_per_minute=1)
    await queue(sending, account, 1000)
    me = await register(db, tables)
    (message,) = (await sending.claim(me, START)).messages
    await sending.finish(message, START)

    def untouched(connection: Connection) -> int:
        m = tables.messages.columns
        return tables.messages.count(
            connection, m["state"] == "pending", m["due_at"] == START, tenant_id=EVERY_TENANT
        )

    for second in range(1, 60):
        await sending.claim(me, START + second)
    assert await db.read(untouched) == 999


async def test_counters_that_burden_no_window_any_more_are_removed(
    db: SqlDb, tables: Tables, sending: Sending
) -> None:
    account = await add_tenant(db, tables, "t")
    await set_limits(sending, account, limit_per_minute=9, limit_per_hour=9, limit_per_day=9)
    await queue(sending, account, 1)
    me = await register(db, tables)
    (message,) = (await sending.claim(me, START)).messages
    await sending.finish(message, START)
    removed = [
        await db.write(tables.rate_use.prune, START + window + 2 * WIDTHS[window])
        for window in (MINUTE, HOUR, DAY)
    ]
    assert removed == [1, 1, 1]


async def test_tenants_and_accounts_take_turns(db: SqlDb, tables: Tables, sending: Sending) -> None:
    big, small = [await add_tenant(db, tables, t) for t in ("big", "small")]
    for tenant, account, count in (("big", big, 900), ("small", small, 3)):
        messages = [new(account, f"{tenant}{i}", tenant=tenant) for i in range(count)]
        await db.write(tables.messages.add, messages)
    me = await register(db, tables)
    claim = await sending.claim(me, START, room=20)
    of = {t: len(list(g)) for t, g in itertools.groupby(m.tenant_id for m in claim.messages)}
    assert of == {"big": 20, "small": 3}
