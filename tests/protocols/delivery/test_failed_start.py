"""A proxy that cannot start leaves nothing behind that runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.harness.running import delivering, key_file, settings
from tests.protocols.delivery.conftest import Settings

from mail_proxy import MailProxy
from mail_proxy.errors import ConfigError
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


async def test_a_database_file_that_has_lost_its_content_is_no_new_database(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mail.db"
    url = f"sqlite:///{path}"
    path.touch()
    with pytest.raises(ConfigError, match="has 0 bytes"):
        await MailProxy.create(settings(url, tmp_path))
    assert path.stat().st_size == 0
    key_file(tmp_path).unlink()
    config = settings(url, tmp_path).model_copy(update={"key_file": tmp_path / "new_key"})
    await (await MailProxy.create(config)).stop()
    assert path.stat().st_size > 0


async def test_a_new_instance_has_its_key_before_its_database(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    await (await MailProxy.create(settings(f"sqlite:///{path}", tmp_path))).stop()
    assert path.stat().st_size > 0


def execute(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)


def dispatchers(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM dispatcher").scalar_one())
