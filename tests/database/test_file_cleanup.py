"""Large files are removed by one process at a time."""

from __future__ import annotations

from pathlib import Path

from tests.harness.running import eventually, running, settings

from mail_proxy.features.large_files.table import LargeFilesTable
from mail_proxy.kit.liveness import process_mark, process_space
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import JumpingClock

_ROW = {
    "id": "0190a000-0000-7000-8000-000000000001",
    "tenant_id": "default",
    "path": "1/x.pdf",
    "sha256": "0",
    "size": 1,
    "filename": "x.pdf",
    "state": 1,
    "created_at": 1.0,
    "expires_at": 2.0,
    "remove_at": 2.0,
}


async def test_a_service_that_starts_removes_files_whose_time_is_over(
    db: SqlDb, tables: Tables, database_url: str, tmp_path: Path
) -> None:
    table = tables.of_feature(LargeFilesTable)
    (tmp_path / "large" / "1").mkdir(parents=True)
    file = tmp_path / "large" / "1" / "x.pdf"
    file.write_text("x")
    row = {**_ROW, "place": f"file://{tmp_path}/large"}
    await db.write(table.insert, row)
    async with running(settings(database_url, tmp_path)):
        await eventually(lambda: not file.exists())


async def test_files_are_left_to_the_process_that_has_the_claim(db: SqlDb, tables: Tables) -> None:
    now = JumpingClock().now()
    mine, other = (process_mark(name, process_space()) for name in "ab")

    def claimed(connection: Connection, owner: str) -> bool:
        return tables.claims.take(connection, "cleanup:files", owner, now, 60.0)

    assert await db.write(claimed, mine)
    assert not await db.write(claimed, other)
    table = tables.of_feature(LargeFilesTable)
    await db.write(table.insert, {**_ROW, "place": "file:///nowhere"})
    taken = await db.write(table.take_expired, now, 10)
    assert [row["id"] for row in taken] == [_ROW["id"]]
    # An hour later, if the process dies in between.
    assert await db.write(table.take_expired, now + 3599.0, 10) == []
    assert len(await db.write(table.take_expired, now + 3601.0, 10)) == 1
    assert await db.read(lambda c: table.ready(c, str(_ROW["id"]))) is None
    await db.write(table.forget, _ROW["id"])
    assert await db.read(lambda c: table.select(c, tenant_id=EVERY_TENANT)) == []
