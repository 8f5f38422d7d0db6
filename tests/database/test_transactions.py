"""What a transaction may rely on, and what it has to wait for."""

from __future__ import annotations

import asyncio
import threading

import pytest
from tests.database.test_group_commit import insert, names

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.sql import Connection, SqlDb

#: Of what SQLite has nothing like.
POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def test_a_read_sees_one_state_from_its_first_statement_to_its_last(db: SqlDb) -> None:
    loop, has_begun, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def count(connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT count(*) FROM tenant").scalar_one())

    def twice(connection: Connection) -> tuple[int, int]:
        first = count(connection)
        loop.call_soon_threadsafe(has_begun.set)
        may_go_on.wait(60)
        return first, count(connection)

    reading = asyncio.create_task(db.read(twice))
    await has_begun.wait()
    await db.write(insert, "t")
    may_go_on.set()
    assert await reading == (0, 0)
    assert await names(db) == {"t"}


@POSTGRESQL
async def test_waiting_in_vain_for_a_lock_is_trouble_that_may_pass(db: SqlDb) -> None:
    """An outcome that cannot be written for that has to be kept, not given up."""
    loop, has_begun, is_over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        connection.exec_driver_sql("LOCK TABLE tenant")
        loop.call_soon_threadsafe(has_begun.set)
        is_over.wait(60)

    def impatient(connection: Connection) -> None:
        connection.exec_driver_sql("SET LOCAL lock_timeout = 20")
        insert(connection, "t")

    holding = asyncio.create_task(db.write(hold))
    await has_begun.wait()
    try:
        with pytest.raises(DatabaseUnavailable):
            await db.write(impatient)
    finally:
        is_over.set()
        await holding


@POSTGRESQL
@pytest.mark.parametrize("state", ["40001", "40P01", "58030"])
async def test_errors_of_the_server_that_come_and_go_are_trouble_that_may_pass(
    db: SqlDb, state: str
) -> None:
    def fail(connection: Connection) -> None:
        connection.exec_driver_sql(f"DO $$BEGIN RAISE 'no' USING ERRCODE = '{state}'; END$$")

    with pytest.raises(DatabaseUnavailable):
        await db.write(fail)


@POSTGRESQL
async def test_who_stops_in_the_middle_of_a_transaction_does_not_keep_its_locks(
    db: SqlDb,
) -> None:
    def idle_seconds(connection: Connection) -> int:
        name = "idle_in_transaction_session_timeout"
        found = connection.exec_driver_sql(
            f"SELECT setting::int / 1000 FROM pg_settings WHERE name = '{name}'"
        )
        return int(found.scalar_one())

    assert 0 < await db.write(idle_seconds) <= 120


@POSTGRESQL
async def test_a_migration_may_take_its_time(db: SqlDb) -> None:
    """An index on a large table needs minutes, and so long others have to wait for it."""

    def limits(connection: Connection) -> list[str]:
        db.adapter.lock_schema(connection)
        names = ("statement_timeout", "lock_timeout")
        return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]

    assert await db.write(limits) == ["0", "0"]


async def test_nobody_waits_for_a_database_that_is_closed(db: SqlDb) -> None:
    await db.write(insert, "t")
    await db.close()
    async with asyncio.timeout(60):
        with pytest.raises(RuntimeError):
            await db.write(insert, "u")
        with pytest.raises(RuntimeError):
            await db.read(lambda connection: None)
