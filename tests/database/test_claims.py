"""Claims of duties: one owner at a time, with take-over of expired ones."""

from __future__ import annotations

import asyncio

import pytest

from mail_proxy.sql import SqlDb
from mail_proxy.sql.schema import LONGEST_CLAIM_SECONDS
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.claims import SKEW_SECONDS

NOW = 1_800_000_000.0
NAME = "mailbox:a"


class Owner:
    """One process that wants the claim."""

    def __init__(self, db: SqlDb, tables: Tables, name: str) -> None:
        self.name = name
        self._db = db
        self._claims = tables.claims

    async def take(self, now: float = NOW, name: str = NAME, seconds: float = 60) -> bool:
        return await self._db.write(self._claims.take, name, self.name, now, seconds)

    async def renew(self, now: float) -> bool:
        return await self._db.write(self._claims.renew, NAME, self.name, now, 60)

    async def release(self, name: str | None = None) -> None:
        await self._db.write(self._claims.release, self.name, name)


@pytest.fixture
def first(db: SqlDb, tables: Tables) -> Owner:
    return Owner(db, tables, "first")


@pytest.fixture
def second(db: SqlDb, tables: Tables) -> Owner:
    return Owner(db, tables, "second")


async def test_of_many_that_ask_at_once_one_gets_the_claim(db: SqlDb, tables: Tables) -> None:
    owners = [Owner(db, tables, f"owner {n}") for n in range(20)]
    assert sum(await asyncio.gather(*(owner.take() for owner in owners))) == 1


async def test_another_name_is_another_claim(first: Owner, second: Owner) -> None:
    assert await first.take()
    assert await second.take(name="mailbox:b")


async def test_the_owner_may_take_its_claim_again(first: Owner, second: Owner) -> None:
    assert await first.take()
    assert await first.take(NOW + 50)
    assert not await second.take(NOW + 60 + SKEW_SECONDS + 1)


async def test_an_expired_claim_is_taken_over_after_the_margin_for_clocks(
    first: Owner, second: Owner
) -> None:
    assert await first.take()
    assert not await second.take(NOW + 60 + SKEW_SECONDS)
    assert await second.take(NOW + 60 + SKEW_SECONDS + 0.001)
    assert not await first.take(NOW + 70)


async def test_only_the_owner_renews(first: Owner, second: Owner) -> None:
    assert not await first.renew(NOW)
    assert await first.take()
    assert not await second.renew(NOW + 10)
    assert await first.renew(NOW + 50)
    assert not await second.take(NOW + 100)
    assert await second.take(NOW + 200)
    assert not await first.renew(NOW + 200)


async def test_a_released_claim_is_free_at_once_and_others_are_kept(
    first: Owner, second: Owner
) -> None:
    assert await first.take()
    assert await first.take(name="cleanup")
    await second.release()
    await first.release(NAME)
    assert await second.take()
    assert not await second.take(name="cleanup")


async def test_all_claims_of_an_ended_process_are_released_together(
    db: SqlDb, tables: Tables, first: Owner, second: Owner
) -> None:
    await first.take()
    await first.take(name="cleanup")
    assert await db.read(tables.claims.owners) == ["first"]
    await first.release()
    assert await second.take()
    assert await second.take(name="cleanup")


async def test_a_claim_has_a_longest_time(first: Owner) -> None:
    with pytest.raises(ValueError, match="at most"):
        await first.take(seconds=LONGEST_CLAIM_SECONDS + 1)


async def test_a_claim_of_a_time_to_come_is_shortened_after_the_clock_was_set_back(
    db: SqlDb, tables: Tables, first: Owner, second: Owner
) -> None:
    await first.take(NOW + 86_400)
    assert await db.write(tables.clock_repair.others, NOW, 300.0) == 1
    assert await second.take(NOW + LONGEST_CLAIM_SECONDS + SKEW_SECONDS + 1)
