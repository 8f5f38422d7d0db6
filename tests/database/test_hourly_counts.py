"""Counters by hour: written with what they count, added up, moved and removed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.database.plans import plans
from tests.database.test_queue import claim, make_account, new, register
from tests.harness.rows import add_event, add_messages, add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.maintenance.retention import Retention
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.hourly_counts import (
    COUNTERS,
    HOUR,
    CountFilter,
    CountPlace,
    CountRow,
    hourly_count,
)
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock

#: The hour in which the builders' rows are stamped.
AT = 1_800_000_000 // HOUR * HOUR
DAY = 24 * HOUR


def hours(tenant_id: str | None = None, **changes: Any) -> CountFilter:
    values = {"by_account": False, "width": HOUR, "from_at": AT - DAY, "before_at": AT + DAY}
    return CountFilter(tenant_id, **{**values, **changes})


def shown(rows: list[CountRow]) -> dict[tuple[int, str, str], dict[str, int]]:
    return {
        (row.place.bucket_at, row.place.tenant_id, row.place.account_id): {
            name: count for name, count in row.counts.items() if count
        }
        for row in rows
    }


async def put(db: SqlDb, tables: Tables, *counted: tuple[str, str, float, str]) -> None:
    await db.write(tables.counts.add, counted)


async def test_each_change_is_counted_in_its_transaction(db: SqlDb, tables: Tables) -> None:
    account = await add_tenant(db, tables, "t")
    pks = await add_messages(db, tables, "t", account, ["m1", "m2"])
    await add_messages(db, tables, "t", account, ["m1"])  # the same again
    await add_event(db, tables, "t", pks, "deferred")
    await add_event(db, tables, "t", pks, "sent")
    await add_event(db, tables, "t", pks[:1], "bounce")
    await add_event(db, tables, "t", pks[:1], "queued")  # a retry
    events = await db.read(tables.events.unreported, "t", AT, 10)
    await db.write(tables.events.acknowledge, "t", events[:3], AT + HOUR)
    await db.write(tables.events.acknowledge, "t", events[:3], AT + HOUR)
    rows = await db.read(tables.counts.page, hours("t", by_account=True), None, 10)
    assert shown(rows) == {
        (AT, "t", "a"): {"queued": 2, "deferred": 2, "sent": 2, "bounced": 1},
        (AT + HOUR, "t", "a"): {"reported": 3},
    }


async def test_a_transaction_that_fails_counts_nothing(db: SqlDb, tables: Tables) -> None:
    account = await add_tenant(db, tables, "t")

    def fail(connection: Connection) -> None:
        tables.counts.add(connection, [("t", account, AT, "sent")])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.write(fail)
    await put(db, tables, ("t", account, AT, "error"))
    rows = await db.read(tables.counts.page, hours(), None, 10)
    assert shown(rows) == {(AT, "t", ""): {"error": 1}}


async def test_given_up_messages_are_counted(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, f"m{i}") for i in range(3)])
    await db.write(claim(tables, [account], await register(db, tables), limit=1))
    await db.write(tables.given_up.of_account, account, "account deleted", AT, 10)
    rows = await db.read(tables.counts.page, hours(), None, 10)
    assert sum(row.counts["error"] for row in rows) == 2


async def test_buckets_are_added_up_by_tenant_and_by_account(db: SqlDb, tables: Tables) -> None:
    t, u = await add_tenant(db, tables, "t"), await add_tenant(db, tables, "u")
    other = await add_tenant(db, tables, "t2")
    for at in (AT - DAY, AT, AT + HOUR):
        await put(db, tables, ("t", t, at, "sent"), ("t", t, at, "sent"), ("u", u, at, "sent"))
    await put(db, tables, ("t2", other, AT, "error"))
    by_tenant = await db.read(tables.counts.page, hours(), None, 100)
    assert len(by_tenant) == 7
    assert [row.place for row in by_tenant] == sorted(row.place for row in by_tenant)
    midnight = AT // DAY * DAY
    days = hours("t", width=DAY, from_at=midnight - DAY, before_at=midnight + DAY)
    found = shown(await db.read(tables.counts.page, days, None, 100))
    assert sum(counts["sent"] for counts in found.values()) == 6
    assert {bucket % DAY for bucket, _, _ in found} == {0}


async def test_pages_follow_each_other_without_gaps(db: SqlDb, tables: Tables) -> None:
    accounts = {tenant: await add_tenant(db, tables, tenant) for tenant in ("t", "u", "v")}
    for hour in (-20, -3, -2, 0, 5):
        for tenant, account in accounts.items():
            await put(db, tables, (tenant, account, AT + hour * HOUR, "sent"))
    whole = await db.read(tables.counts.page, hours(by_account=True), None, 100)
    assert len(whole) == 15
    pages: list[CountRow] = []
    after: CountPlace | None = None
    while page := await db.read(tables.counts.page, hours(by_account=True), after, 2):
        pages += page
        after = page[-1].place
    assert pages == whole


async def test_connections_count_in_rows_of_their_own_until_the_hour_is_over(
    db: SqlDb, tables: Tables
) -> None:
    account = await add_tenant(db, tables, "t")
    for shard in (0, 3, 4):
        await db.write(_insert, ("t", AT, account, shard))
    before = await db.read(tables.counts.page, hours(), None, 10)
    assert shown(before) == {(AT, "t", ""): dict.fromkeys(COUNTERS, 3)}
    assert await db.write(tables.counts.fold, AT + HOUR, 10) == 0
    assert await db.write(tables.counts.fold, AT + 3 * HOUR, 10) == 2
    assert await db.read(tables.counts.page, hours(), None, 10) == before
    assert [row.shard for row in await db.read(_rows)] == [0]


async def test_old_counters_are_removed(db: SqlDb, tables: Tables) -> None:
    account = await add_tenant(db, tables, "t")
    now = AT + 400 * DAY
    for at in (AT - HOUR, AT, AT + HOUR, now):
        await put(db, tables, ("t", account, at, "sent"))
    directory = Directory(db, tables, ConcurrencyConfig())
    retention = Retention(db, tables, directory, FakeClock(now + 1800.0), 1000)
    assert await retention.remove_hourly_counts() == 2
    assert [row.hour_at for row in await db.read(_rows)] == [AT + HOUR, now]


async def test_counters_of_the_future_move_to_this_hour_if_the_clock_was_set_back(
    db: SqlDb, tables: Tables
) -> None:
    account = await add_tenant(db, tables, "t")
    for at in (AT - HOUR, AT, AT + HOUR, AT + 900 * DAY):
        await put(db, tables, ("t", account, at, "sent"))
    assert await db.write(tables.counts.repair, AT + 600.0, 10) == 2
    assert await db.write(tables.counts.repair, AT + 600.0, 10) == 0
    rows = await db.read(tables.counts.page, hours(), None, 10)
    assert shown(rows) == {(AT - HOUR, "t", ""): {"sent": 1}, (AT, "t", ""): {"sent": 3}}


async def test_counters_stay_with_a_removed_account_and_go_with_the_tenant(
    db: SqlDb, tables: Tables
) -> None:
    account = await add_tenant(db, tables, "t")
    await put(db, tables, ("t", account, AT, "sent"))
    removed = {"deleted_at": AT}
    await db.write(tables.accounts.update, {"pk": account, "tenant_id": "t"}, removed)
    rows = await db.read(tables.counts.page, hours(by_account=True), None, 10)
    assert shown(rows) == {(AT, "t", "a"): {"sent": 1}}
    await db.write(lambda connection: tables.tenants.delete(connection, id="t"))
    assert await db.read(_rows) == []


async def test_a_page_reads_the_counters_of_its_range_only(db: SqlDb, tables: Tables) -> None:
    account = await add_tenant(db, tables, "t")
    await put(db, tables, ("t", account, AT, "sent"))
    for wanted in (hours(), hours("t"), hours("t", by_account=True)):
        found = "\n".join(await plans(db, tables.counts.page, wanted, None, 10))
        assert re.search(r"SEARCH c USING PRIMARY KEY|hourly_count", found)
        assert not re.search(r"^SCAN c\b|Seq Scan on hourly_count", found, re.MULTILINE)


def _insert(connection: Connection, key: tuple[str, int, str, int]) -> None:
    names = ("tenant_id", "hour_at", "account_pk", "shard")
    values = {**dict(zip(names, key, strict=True)), **dict.fromkeys(COUNTERS, 1)}
    connection.execute(hourly_count.insert().values(values))


def _rows(connection: Connection) -> list[Any]:
    return list(connection.execute(hourly_count.select().order_by(hourly_count.c.hour_at)))
