"""Claims after one that ran twice, as a deadlock makes it, or that could not run at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.database.test_queue import new, register
from tests.harness.rows import add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.claiming import Capacity, Claimer
from mail_proxy.delivery.fair_budget import FairBudget
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables

START = 1_800_000_000.0


class Unlucky(SqlDb):
    """Each transaction runs, is rolled back, and runs again."""

    async def write(self, work: Callable[..., Any], *arguments: Any) -> Any:
        def twice(connection: Connection) -> Any:
            with connection.begin_nested() as first:
                work(connection, *arguments)
                first.rollback()
            return work(connection, *arguments)

        return await super().write(twice)


class Away(SqlDb):
    """A database to which no connection is to be had."""

    async def write(self, work: Callable[..., Any], *arguments: Any) -> Any:
        raise DatabaseUnavailable("no connection")


async def test_what_came_due_is_found_the_second_time_too(
    db: SqlDb, tables: Tables, database_url: str
) -> None:
    await db.write(tables.instance.ensure, "test", START)
    account = await add_tenant(db, tables, "t")
    dispatcher = await register(db, tables)
    await db.write(tables.messages.add, [new(account, "m", due=START + 10)])
    snapshot = await Directory(db, tables, ConcurrencyConfig()).current()
    capacity = Capacity({}, FairBudget(100), FairBudget(10**6), {})
    claimer = Claimer(tables)
    unlucky = Unlucky(database_url)
    try:
        for now, found in ((START, []), (START + 11, ["m"])):
            claim = await claimer.next(unlucky, dispatcher, snapshot, capacity, now)
            assert [message.id for message in claim.messages] == found
            claimer.due_accounts.idle(1000)
    finally:
        await unlucky.close()


async def test_what_was_claimed_before_an_outage_is_not_claimed_again_after_it(
    db: SqlDb, tables: Tables, database_url: str
) -> None:
    """It is being sent."""
    await db.write(tables.instance.ensure, "test", START)
    account = await add_tenant(db, tables, "t")
    dispatcher = await register(db, tables)
    await db.write(tables.messages.add, [new(account, "m", due=START)])
    snapshot = await Directory(db, tables, ConcurrencyConfig()).current()
    capacity = Capacity({}, FairBudget(100), FairBudget(10**6), {})
    claimer, away = Claimer(tables), Away(database_url)
    try:
        claim = await claimer.next(db, dispatcher, snapshot, capacity, START + 1)
        assert [message.id for message in claim.messages] == ["m"]
        with pytest.raises(DatabaseUnavailable):
            await claimer.next(away, dispatcher, snapshot, capacity, START + 2)
        again = await claimer.next(db, dispatcher, snapshot, capacity, START + 3)
        assert again.messages == []
    finally:
        await away.close()
