"""A proxy that cannot start leaves nothing behind that runs."""

from __future__ import annotations

import asyncio

import pytest
from tests.harness.running import delivering
from tests.protocols.delivery.conftest import Settings

from mail_proxy import MailProxy
from mail_proxy.sql import Connection, SqlDb


@pytest.mark.parametrize("workers", [0, 1])
async def test_what_has_begun_before_the_failure_is_stopped(
    config: Settings, database_url: str, workers: int
) -> None:
    db = SqlDb(database_url)
    await db.write(execute, "ALTER TABLE message_event RENAME TO hidden")
    before = asyncio.all_tasks()
    with pytest.raises(Exception, match="message_event"):
        await MailProxy.create(config(concurrency={"workers": workers}))
    assert asyncio.all_tasks() == before
    assert delivering() == set()
    assert await db.read(dispatchers) == 0
    await db.close()


def execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


def dispatchers(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM dispatcher").scalar_one())
