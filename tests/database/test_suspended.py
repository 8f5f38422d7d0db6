"""Messages of suspended batches outside the queue's index, and nowhere else any different."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.database.plans import plans, whole_scans
from tests.database.test_queue import NOW, change, claim, make_account, new, register

from mail_proxy.domain.facts import MessagesReleased
from mail_proxy.kit.bus import Bus
from mail_proxy.maintenance.suspension import SuspensionSweep
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.insert import Added, Stored
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.messages.suspended import Batch
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

SPRING = Batch("t", "spring")


class House:
    """One tenant's queue and its sweep, three messages a slice."""

    def __init__(self, db: SqlDb, tables: Tables, account: str) -> None:
        self.db = db
        self.tables = tables
        self.account = account
        self.releases = 0
        bus = Bus()
        bus.subscribe(MessagesReleased, self._released)
        self.sweeper = SuspensionSweep(db, tables.suspended, bus, slice_size=3)

    async def add(self, *ids: str, batch: str | None = "spring", **fields: object) -> list[Added]:
        messages = [new(self.account, id_, batch=batch, **fields) for id_ in ids]  # type: ignore[arg-type]
        return await self.db.write(self.tables.messages.add, messages)

    async def suspend(self, batch: str | None = "spring") -> None:
        await self.db.write(self.tables.suspensions.suspend, "t", batch)
        await self.sweeper.sweep()

    async def activate(self, batch: str = "spring") -> None:
        def work(connection: Connection) -> None:
            self.tables.suspensions.delete(connection, tenant_id="t", batch_code=batch)

        await self.db.write(work)

    async def held(self) -> list[str]:
        rows = await self.db.read(
            lambda c: self.tables.messages.select(c, tenant_id=EVERY_TENANT, held=True)
        )
        return sorted(row["id"] for row in rows)

    async def claimed(self, priority: int = 2) -> list[str]:
        me = await register(self.db, self.tables)
        work = claim(self.tables, [self.account], me, priority, NOW + 100, limit=1000)
        return [m.id for m in await self.db.write(work)]

    def _released(self, _: MessagesReleased) -> None:
        self.releases += 1


@pytest.fixture
async def house(db: SqlDb, tables: Tables) -> House:
    await db.write(tables.instance.ensure, "test", NOW)
    return House(db, tables, await make_account(db, tables))


async def test_a_suspended_batch_is_held_and_comes_back_in_order(house: House) -> None:
    ids = [f"m{n}" for n in range(8)]
    await house.add(*ids)
    await house.add("urgent", priority=0)
    await house.add("other", batch="autumn")
    await house.add("single", batch=None)
    await house.suspend()
    assert await house.held() == [*ids, "urgent"]
    assert await house.claimed() == ["other", "single"]

    await house.activate()
    assert await house.claimed() == []
    await house.sweeper.sweep()
    assert house.releases == 3
    assert await house.held() == []
    assert await house.claimed(priority=0) == ["urgent"]
    assert await house.claimed() == ids


async def test_sweeping_again_or_by_several_changes_nothing(house: House) -> None:
    await house.add(*map(str, range(7)))
    await house.suspend()
    before = await house.held()
    await house.sweeper.sweep()
    assert await house.held() == before
    assert await house.db.write(house.tables.suspended.hold, SPRING, 10) == 0
    assert await house.db.write(house.tables.suspended.release, SPRING, 10) == 0
    assert house.releases == 0


async def test_everything_suspended_holds_no_batch_and_frees_those_that_were(house: House) -> None:
    await house.add("m")
    await house.suspend(None)
    assert await house.held() == []
    assert await house.claimed() == []
    await house.suspend()
    assert await house.held() == ["m"]
    await house.activate()
    await house.sweeper.sweep()
    assert await house.held() == []
    assert await house.claimed() == []


async def test_another_tenants_batch_of_the_same_name_goes_on(
    house: House, db: SqlDb, tables: Tables
) -> None:
    other = await make_account(db, tables, tenant="u")
    await house.add("m")
    await db.write(tables.messages.add, [new(other, "x", tenant="u", batch="spring")])
    await house.suspend()
    assert await house.held() == ["m"]


async def test_what_is_held_is_always_the_end_of_its_batch(house: House) -> None:
    await house.add(*[f"m{n}" for n in range(6)])
    await house.db.write(house.tables.suspensions.suspend, "t", "spring")
    assert await house.db.write(house.tables.suspended.hold, SPRING, 4) == 4
    assert await house.held() == ["m2", "m3", "m4", "m5"]
    await house.activate()
    await house.add("late", due=NOW + 5)
    assert "late" in await house.held()
    assert await house.db.write(house.tables.suspended.release, SPRING, 2) == 2
    assert await house.held() == ["late", "m4", "m5"]
    assert await house.claimed() == ["m0", "m1", "m2", "m3"]
    await house.sweeper.sweep()
    assert await house.claimed() == ["m4", "m5", "late"]


async def test_batches_to_release_are_found_among_all_that_are_held(
    house: House, db: SqlDb, tables: Tables
) -> None:
    batches = [Batch(tenant, code) for tenant in "tuv" for code in ("autumn", "spring", "winter")]
    accounts = {"t": house.account}
    for tenant in "uv":
        accounts[tenant] = await make_account(db, tables, tenant=tenant)
    for tenant, code in batches:
        added = [new(accounts[tenant], f"{code}{n}", tenant=tenant, batch=code) for n in range(3)]
        await db.write(tables.messages.add, added)
        await db.write(tables.suspensions.suspend, tenant, code)
    to_hold, to_release = await db.read(tables.suspended.unsettled)
    assert (sorted(to_hold), to_release) == (batches, [])
    await house.sweeper.sweep()
    assert await db.read(tables.suspended.unsettled) == ([], [])
    active = [Batch("t", "winter"), Batch("u", "spring"), Batch("v", "autumn")]

    def activate(connection: Connection) -> None:
        for tenant, code in active:
            tables.suspensions.delete(connection, tenant_id=tenant, batch_code=code)

    await db.write(activate)
    assert await db.read(tables.suspended.unsettled) == ([], active)


async def test_it_is_listed_and_counted_as_before(house: House) -> None:
    await house.add("m", "n")
    tables = house.tables
    active = MessageFilter(
        tenant_id="t", active_only=True, wanted_states=["pending"], batch_code="spring"
    )
    for _ in range(2):
        assert await house.db.read(tables.messages.count_waiting, EVERY_TENANT) == 2
        assert await house.db.read(tables.messages.count_waiting, "t") == 2
        assert await house.db.read(tables.messages.count_waiting, "t", "spring") == 2
        assert await house.db.read(tables.messages.count_waiting, "t", "autumn") == 0
        rows = (await house.db.read(listing.page, active, 10, None)).rows
        assert [(r["id"], r["state"], r["due_at"]) for r in rows] == [
            ("n", "pending", NOW),
            ("m", "pending", NOW),
        ]
        await house.suspend()
    assert await house.held() == ["m", "n"]


async def test_it_is_replaced_by_a_new_message_of_the_same_id(house: House) -> None:
    await house.add("same", "moves", "leaves")
    await house.suspend()
    assert await house.add("same", content='{"v": 2}') == [Stored.REPLACED]
    assert await house.add("moves", batch="autumn") == [Stored.REPLACED]
    assert await house.add("leaves", batch=None) == [Stored.REPLACED]
    assert await house.held() == ["same"]
    assert sorted(await house.claimed()) == ["leaves", "moves"]
    await house.activate()
    await house.sweeper.sweep()
    assert await house.claimed() == ["same"]
    row = await house.db.read(house.tables.messages.detail, "t", "same")
    assert row["content"] == '{"v": 2}'


async def test_it_is_removed_by_delete_messages(house: House) -> None:
    await house.add("m", "n")
    await house.suspend()
    removed = await house.db.write(house.tables.messages.remove_waiting_or_done, "t", ["m"])
    assert removed == {"m"}
    assert await house.held() == ["n"]


async def test_it_ends_with_its_account(house: House, db: SqlDb, tables: Tables) -> None:
    other = await make_account(db, tables, account="b")
    await db.write(tables.messages.add, [new(other, "x", batch="spring")])
    await house.add("m")
    await house.suspend()
    await house.add("loose", batch=None)
    fail = tables.given_up.of_account
    assert await db.write(fail, house.account, "account deleted", NOW, 10) == 2
    for id_ in ("m", "loose"):
        row = await db.read(tables.messages.detail, "t", id_)
        assert (row["state"], row["error"]) == ("error", "account deleted")
    assert await house.held() == ["x"]
    events = await db.read(tables.events.unreported, "t", NOW, 10)
    assert sorted(e.message_id for e in events) == ["loose", "m"]
    for plan in await plans(db, fail, house.account, "account deleted", NOW, 10):
        assert not whole_scans(plan), plan


async def test_it_ends_with_its_tenant(house: House) -> None:
    await house.add("m")
    await house.suspend()

    def work(connection: Connection) -> None:
        house.tables.messages.remove_of_tenant(connection, "t")
        house.tables.tenants.delete(connection, id="t")

    await house.db.write(work)
    assert await house.db.read(house.tables.messages.count_waiting, EVERY_TENANT) == 0
    assert await house.db.read(house.tables.suspended.unsettled) == ([], [])


async def test_a_late_outcome_is_recorded_all_the_same(
    house: House, db: SqlDb, tables: Tables
) -> None:
    await house.add("m")
    dead = await register(db, tables)
    (message,) = await db.write(claim(tables, [house.account], dead))
    assert await db.write(tables.queue.rescue, [dead]) == [(house.account, "t")]
    await house.suspend()
    assert await house.held() == ["m"]
    assert await db.write(tables.queue.record, [change(message)]) == {message.pk}
    assert await house.held() == []
    assert await db.read(tables.messages.count_waiting, EVERY_TENANT) == 0


async def test_looking_and_moving_goes_by_index(house: House, db: SqlDb, tables: Tables) -> None:
    await house.add("m", "n")
    await house.add("x", batch="autumn")
    await house.suspend()
    await db.write(tables.suspensions.suspend, "t", "autumn")
    to_hold, to_release = await plans(db, tables.suspended.unsettled)
    assert "ix_message_waiting_of_batch" in to_hold
    if db.adapter.name == "sqlite":
        # The first of all held ones, then step by step the first one of each further batch.
        first = "SCAN message USING INDEX ix_message_held\n"
        assert first in to_release
        to_release = to_release.replace(first, "")
        for step in ("(tenant_id=? AND batch_code>?)", "(tenant_id>?)"):
            assert f"ix_message_held {step}" in to_release
    assert "ix_message_held" in to_release
    hold = await plans(db, tables.suspended.hold, Batch("t", "autumn"), 10)
    assert "ix_message_waiting_of_batch" in hold[0]
    await house.activate()
    release = await plans(db, tables.suspended.release, SPRING, 10)
    assert "ix_message_held" in release[0]
    for plan in (to_hold, to_release, *hold, *release):
        assert not whole_scans(plan), plan
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


async def test_what_is_moved_just_now_ends_with_its_account_all_the_same(house: House) -> None:
    await house.add("1", "2", "3")
    await house.db.write(house.tables.suspensions.suspend, "t", "spring")
    loop, has_held, may_commit = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        assert house.tables.suspended.hold(connection, SPRING, 10) == 3
        loop.call_soon_threadsafe(has_held.set)
        may_commit.wait(60)

    holding = asyncio.create_task(house.db.write(hold))
    await has_held.wait()
    end = house.tables.given_up.of_account
    ending = asyncio.create_task(house.db.write(end, house.account, "account deleted", NOW, 10))
    await asyncio.wait({ending}, timeout=0.3)
    may_commit.set()
    await holding
    assert await ending == 3
    assert await house.held() == []
