"""Tenants and accounts in memory: as the database has them, at the cost of what has changed."""

from __future__ import annotations

import pytest
from tests.harness.rows import add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables


@pytest.fixture
async def accounts(db: SqlDb, tables: Tables) -> dict[str, str]:
    """Account pk of each tenant."""
    await db.write(tables.instance.ensure, "test", 1.0)
    return {name: await add_tenant(db, tables, name) for name in ("t", "u", "v")}


@pytest.fixture
def directory(db: SqlDb, tables: Tables) -> Directory:
    return Directory(db, tables, ConcurrencyConfig())


async def fresh(db: SqlDb, tables: Tables, directory: Directory) -> None:
    """What it has is what another process reads from the start."""
    other = await Directory(db, tables, ConcurrencyConfig()).current()
    assert await directory.current() == other


async def test_only_what_has_changed_is_read_again(
    db: SqlDb, tables: Tables, directory: Directory, accounts: dict[str, str]
) -> None:
    before = await directory.current()
    values = {"host": "elsewhere", "version": 2, "password": "secret"}
    await db.write(tables.accounts.update, {"pk": accounts["t"], "tenant_id": "t"}, values)
    await db.write(tables.tenants.update, {"id": "u"}, {"active": False})

    after = await directory.current()

    assert after.accounts[accounts["t"]].login.host == "elsewhere"
    assert after.accounts[accounts["t"]].login.password == "secret"
    assert not after.tenants["u"].active
    for pk in (accounts["u"], accounts["v"]):
        assert after.accounts[pk] is before.accounts[pk]
    assert after.tenants["v"] is before.tenants["v"]
    assert before.accounts[accounts["t"]].login.host == "localhost"
    await fresh(db, tables, directory)


async def test_what_is_removed_is_gone(
    db: SqlDb, tables: Tables, directory: Directory, accounts: dict[str, str]
) -> None:
    await directory.current()
    await db.write(
        tables.accounts.update, {"pk": accounts["t"], "tenant_id": "t"}, {"deleted_at": 5.0}
    )
    await db.write(lambda c: tables.tenants.delete(c, id="u"))
    await db.write(tables.tenants.update, {"id": "v"}, {"active": False})
    after = await directory.current()
    assert list(after.accounts) == [accounts["v"]]
    assert sorted(after.tenants) == ["t", "v"]
    await fresh(db, tables, directory)


async def test_an_id_that_is_used_again_means_the_new_account(
    db: SqlDb, tables: Tables, directory: Directory, accounts: dict[str, str]
) -> None:
    await directory.current()
    await db.write(
        tables.accounts.update, {"pk": accounts["t"], "tenant_id": "t"}, {"deleted_at": 5.0}
    )
    row = await db.read(lambda c: tables.accounts.get(c, pk=accounts["t"], tenant_id="t"))
    new = "01990000-0000-7000-8000-000000000001"
    await db.write(tables.accounts.insert, {**row, "pk": new, "deleted_at": None})
    after = await directory.current()
    assert after.accounts_by_id["t", "a"].pk == new
    assert after.default_accounts["t"].pk == new
    await fresh(db, tables, directory)


async def test_suspensions_follow(
    db: SqlDb, tables: Tables, directory: Directory, accounts: dict[str, str]
) -> None:
    await directory.current()
    await db.write(tables.suspensions.suspend, "t", "spring")
    assert (await directory.current()).tenants["t"].suspended_batches == {"spring"}
    await db.write(lambda c: tables.suspensions.delete(c, tenant_id="t"))
    assert (await directory.current()).tenants["t"].suspended_batches == frozenset()
    await fresh(db, tables, directory)


async def test_a_change_by_an_older_program_is_seen_too(
    db: SqlDb, tables: Tables, directory: Directory, accounts: dict[str, str]
) -> None:
    """It counts the version of the directory, and writes none into the row."""
    await directory.current()

    def work(connection: object) -> None:
        for statement in (
            "UPDATE account SET host = 'elsewhere'",
            "UPDATE instance SET directory_version = directory_version + 1",
        ):
            connection.exec_driver_sql(statement)  # type: ignore[attr-defined]

    await db.write(work)
    after = await directory.current()
    assert {a.login.host for a in after.accounts.values()} == {"elsewhere"}
