"""Trouble and healing of accounts, also at the same moment"""

from __future__ import annotations

import asyncio

from tests.harness.rows import add_tenant

from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables import Tables

NOW = 1_800_000_000.0


async def test_failures_at_the_same_time_count_as_one_and_failed_probes_each(
    db: SqlDb, tables: Tables
) -> None:
    pk = await add_tenant(db, tables, "t")

    async def trouble(now: float, *, probe: bool) -> int:
        return (await db.write(lambda c: tables.health.trouble(c, pk, "why", now, probe=probe)))[
            "failures"
        ]

    assert await asyncio.gather(*(trouble(NOW, probe=False) for _ in range(4))) == [1] * 4
    row = (await db.read(tables.health.of_accounts, [pk]))[pk]
    assert (row["since_at"], row["last_error"]) == (NOW, "why")
    assert 30 <= row["retry_at"] - NOW <= 33
    assert await trouble(NOW + 1, probe=False) == 1
    assert await trouble(NOW + 1, probe=True) == 2
    row = (await db.read(tables.health.of_accounts, [pk]))[pk]
    assert row["since_at"] == NOW
    assert 60 <= row["retry_at"] - NOW - 1 <= 66
    await db.write(tables.health.heal, pk)
    assert await db.read(tables.health.troubled) == set()


async def test_an_account_that_heals_while_it_fails_is_no_error(db: SqlDb, tables: Tables) -> None:
    pk = await add_tenant(db, tables, "t")

    async def fail() -> None:
        for _ in range(150):
            await db.write(lambda c: tables.health.trouble(c, pk, "why", NOW, probe=False))

    async def heal() -> None:
        for _ in range(150):
            await db.write(tables.health.heal, pk)

    await asyncio.gather(fail(), heal(), heal())
