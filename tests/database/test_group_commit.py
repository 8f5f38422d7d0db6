"""Transactions that wait together may share a commit, and share nothing else."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.harness.rows import add_tenant

from mail_proxy.errors import ConstraintViolated, NotFound
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.tables import Tables


async def names(db: SqlDb) -> set[str]:
    def work(connection: Connection) -> set[str]:
        rows = connection.exec_driver_sql("SELECT id FROM tenant WHERE name = 'n'")
        return set(rows.scalars())

    return await db.read(work)


def insert(connection: Connection, tenant_id: str) -> str:
    connection.exec_driver_sql(
        f"INSERT INTO tenant (id, name, created_at, updated_at) VALUES ('{tenant_id}', 'n', 0, 0)"
    )
    return tenant_id


async def test_one_that_fails_takes_no_other_along(db: SqlDb, tables: Tables) -> None:
    await add_tenant(db, tables, "there")
    gate = threading.Event()

    def refuse(connection: Connection) -> None:
        insert(connection, "refused")
        raise NotFound("no such thing")

    def wait(connection: Connection) -> None:
        gate.wait(60)

    # So that the others wait together.
    orders = [db.write(wait), db.write(insert, "a"), db.write(refuse)]
    orders += [db.write(insert, "there"), db.write(insert, "b")]
    tasks = [asyncio.create_task(order) for order in orders]
    await asyncio.sleep(0)
    gate.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert done[1] == "a"
    assert isinstance(done[2], NotFound)
    assert isinstance(done[3], ConstraintViolated)
    assert done[4] == "b"
    assert await names(db) == {"a", "b"}


async def test_what_was_ordered_before_the_end_is_written(db: SqlDb, tables: Tables) -> None:
    tasks = [asyncio.create_task(db.write(insert, f"t{n}")) for n in range(200)]
    await asyncio.sleep(0)
    await db.close()
    assert await asyncio.gather(*tasks) == [f"t{n}" for n in range(200)]


async def test_a_caller_that_went_away_hinders_nobody(db: SqlDb, tables: Tables) -> None:
    gate = threading.Event()
    first = asyncio.create_task(db.write(lambda connection: gate.wait(60)))
    second = asyncio.create_task(db.write(insert, "second"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert await second == "second"
