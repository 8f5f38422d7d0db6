"""What waits, by priority, and since when."""

from __future__ import annotations

from collections.abc import Sequence

from tests.database.plans import plans, whole_scans
from tests.database.test_queue import NOW, claim, make_account, new, register

from mail_proxy.domain.message import Priority
from mail_proxy.kit.bus import Bus
from mail_proxy.maintenance.suspension import SuspensionSweep
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.counts import find_backlog
from mail_proxy.sql.messages.insert import NewMessage
from mail_proxy.sql.tables import Tables


async def add(db: SqlDb, tables: Tables, messages: Sequence[NewMessage]) -> None:
    await db.write(tables.messages.add, messages)


async def suspend(db: SqlDb, tables: Tables, batch: str | None, tenant: str = "t") -> None:
    await db.write(tables.suspensions.suspend, tenant, batch)
    await SuspensionSweep(db, tables.suspended, Bus()).sweep()


async def test_an_empty_queue_has_four_zeros_and_nothing_old(db: SqlDb, tables: Tables) -> None:
    found = await db.read(find_backlog)
    assert found.by_priority == dict.fromkeys(Priority, 0)
    assert found.oldest_due_at == {}


async def test_what_waits_is_held_or_is_being_sent_is_counted_by_priority(
    db: SqlDb, tables: Tables
) -> None:
    await db.write(tables.instance.ensure, "test", NOW)
    one, two = [await make_account(db, tables, account=id_) for id_ in "ab"]
    await add(db, tables, [new(one, f"h{n}", priority=1) for n in range(3)])
    await add(db, tables, [new(two, "low", priority=3, due=NOW + 99)])
    await add(db, tables, [new(one, "held", priority=0, batch="b")])
    await suspend(db, tables, "b")
    await db.write(claim(tables, [one], await register(db, tables), 1, NOW, limit=2))
    found = await db.read(find_backlog)
    assert [found.by_priority[p] for p in Priority] == [1, 3, 0, 1]


async def test_the_oldest_is_found_whatever_its_account_and_priority(
    db: SqlDb, tables: Tables
) -> None:
    accounts = [await make_account(db, tables, account=f"a{n}") for n in range(3)]
    await add(db, tables, [new(pk, f"m{pk}", priority=0) for pk in accounts])
    await add(db, tables, [new(accounts[1], "later", priority=2, due=NOW + 60)])
    assert (await db.read(find_backlog)).oldest_due_at == dict.fromkeys(accounts, NOW)
    await add(db, tables, [new(accounts[2], "old", priority=3, due=NOW - 500)])
    found = (await db.read(find_backlog)).oldest_due_at
    assert found == {**dict.fromkeys(accounts, NOW), accounts[2]: NOW - 500}


async def test_what_is_suspended_waits_on_purpose(db: SqlDb, tables: Tables) -> None:
    await db.write(tables.instance.ensure, "test", NOW)
    mine = await make_account(db, tables)
    theirs = await make_account(db, tables, tenant="other")
    await add(db, tables, [new(mine, "batch", batch="b", due=NOW - 30)])
    await add(db, tables, [new(mine, "single", due=NOW - 20)])
    await add(db, tables, [new(theirs, "other", tenant="other", due=NOW - 10)])

    async def oldest() -> dict[str, float]:
        return (await db.read(find_backlog)).oldest_due_at

    assert await oldest() == {mine: NOW - 30, theirs: NOW - 10}
    await suspend(db, tables, "b")
    assert await oldest() == {mine: NOW - 20, theirs: NOW - 10}
    await suspend(db, tables, None)
    assert await oldest() == {theirs: NOW - 10}

    def retire(connection: Connection) -> None:
        with tables.tenants.record(connection, id="other") as tenant:
            tenant["active"] = False

    await db.write(retire)
    assert await oldest() == {}


async def test_it_steps_through_indexes(db: SqlDb, tables: Tables) -> None:
    pk = await make_account(db, tables)
    await add(db, tables, [new(pk, f"m{n}", batch="b" if n % 2 else None) for n in range(40)])
    counts, oldest = await plans(db, find_backlog)
    indexes = ("ix_message_waiting", "ix_message_held", "ix_message_sending")
    assert [x for x in whole_scans(counts) if not any(i in x for i in indexes)] == []
    assert all(index in counts for index in indexes)
    assert [x for x in whole_scans(oldest) if "ix_message_waiting" not in x] == []
