"""A round of claims serves priorities first, then accounts equally, within budgets."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.database.test_queue import NOW, make_account, new, register

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.claiming import Capacity, Claim, Claimer
from mail_proxy.delivery.fair_budget import FairBudget
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables


class Round:
    """Claims for one dispatcher, with a capacity of the test's choice."""

    def __init__(self, db: SqlDb, tables: Tables, dispatcher: str) -> None:
        self.db, self.tables, self.dispatcher = db, tables, dispatcher
        self.directory = Directory(db, tables, ConcurrencyConfig())

    async def claim(
        self, *, messages: int = 2000, octets: int = 10**6, rooms: dict[str, int] | None = None
    ) -> Claim:
        snapshot = await self.directory.current()
        capacity = Capacity(
            rooms=rooms if rooms is not None else dict.fromkeys(snapshot.accounts, 100),
            messages=FairBudget(messages),
            octets=FairBudget(octets),
            limited_until={},
        )
        claimer = Claimer(self.tables)
        return await self.db.write(claimer.claim, self.dispatcher, snapshot, capacity, NOW)


@pytest.fixture
async def round_(db: SqlDb, tables: Tables) -> Round:
    await db.write(tables.instance.ensure, "test", NOW)
    return Round(db, tables, await register(db, tables))


async def test_priority_comes_before_fairness(db: SqlDb, tables: Tables, round_: Round) -> None:
    busy, other = [await make_account(db, tables, account=name) for name in "ab"]
    await db.write(tables.messages.add, [new(other, f"o{n}", priority=2) for n in range(30)])
    urgent = [new(busy, f"u{n}", priority=0) for n in range(5)]
    await db.write(tables.messages.add, [*urgent, new(busy, "b", priority=3)])
    claim = await round_.claim(messages=10)
    priorities = [m.priority for m in claim.messages]
    assert priorities[:5] == [0] * 5
    assert priorities == sorted(priorities)
    assert claim.full == {busy, other}


async def test_a_busy_account_gets_no_more_than_its_share_and_others_all_they_have(
    db: SqlDb, tables: Tables, round_: Round
) -> None:
    accounts = [await make_account(db, tables, tenant=name) for name in "tuvw"]
    for tenant, pk in zip("tuvw", accounts, strict=True):
        count = 100 if tenant == "t" else 10
        await db.write(tables.messages.add, [new(pk, f"m{n}", tenant=tenant) for n in range(count)])
    claim = await round_.claim(messages=60)
    busy, *others = accounts
    counts = Counter(m.account_pk for m in claim.messages)
    assert counts == {busy: 15, **dict.fromkeys(others, 10)}
    assert busy in claim.full


async def test_an_account_without_a_lane_takes_a_few_and_one_without_room_none(
    db: SqlDb, tables: Tables, round_: Round
) -> None:
    fresh, full = [await make_account(db, tables, account=name) for name in "ab"]
    for pk in (fresh, full):
        await db.write(tables.messages.add, [new(pk, f"{pk}-{n}") for n in range(50)])
    claim = await round_.claim(rooms={full: 0})
    assert Counter(m.account_pk for m in claim.messages) == {fresh: 20}
    assert claim.full == {fresh, full}


async def test_bytes_are_bounded_but_one_message_always_goes(
    db: SqlDb, tables: Tables, round_: Round
) -> None:
    account = await make_account(db, tables)
    large = "x" * 5000
    await db.write(tables.messages.add, [new(account, f"m{n}", content=large) for n in range(4)])
    assert len((await round_.claim(octets=1000)).messages) == 1
    claim = await round_.claim(octets=20_000)
    assert [m.size for m in claim.messages] == [5000, 5000]
    assert claim.full == {account}


async def test_nothing_is_claimed_on_an_outdated_snapshot(
    db: SqlDb, tables: Tables, round_: Round
) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m")])
    old = await round_.directory.current()
    await make_account(db, tables, account="b")
    capacity = Capacity({}, FairBudget(10), FairBudget(1000), {})
    claim = await db.write(Claimer(tables).claim, round_.dispatcher, old, capacity, NOW)
    assert claim.version > old.version
    assert claim.messages == []
