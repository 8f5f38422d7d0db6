"""DKIM keys in memory follow the table; a rotation of the encryption key covers them."""

from __future__ import annotations

import pytest
from tests.conftest import KEY
from tests.harness import dkim_mails
from tests.harness.rows import add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.features.dkim.signature import SigningKey
from mail_proxy.features.dkim.table import AllKeys, DkimKeysTable
from mail_proxy.features.registry import DIRECTORY
from mail_proxy.sql import Damaged, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.keys import reencrypt
from mail_proxy.sql.tables import Tables


@pytest.fixture
def directory(db: SqlDb, tables: Tables) -> Directory:
    return Directory(db, tables, ConcurrencyConfig(), parts=DIRECTORY)


@pytest.fixture
def table(tables: Tables) -> DkimKeysTable:
    return tables.of_feature(DkimKeysTable)


async def add(db: SqlDb, table: DkimKeysTable, selector: str, tenant: str = "t") -> None:
    row = {
        "tenant_id": tenant,
        "domain": "example.org",
        "selector": selector,
        "algorithm": "ed25519-sha256",
        "private_key": dkim_mails.private_keys()["ed"],
        "record": "",
        "created_at": 1.0,
    }
    await db.write(table.insert, row)


def selectors(keys: AllKeys) -> dict[str, list[str]]:
    return {tenant: sorted(found) for (tenant, _), found in keys.items()}


async def test_every_change_is_seen_by_all_processes(
    db: SqlDb, tables: Tables, table: DkimKeysTable, directory: Directory
) -> None:
    await db.write(tables.instance.ensure, "test", 1.0)
    for tenant in ("t", "u"):
        await add_tenant(db, tables, tenant)
    other_process = Directory(db, tables, ConcurrencyConfig(), parts=DIRECTORY)

    async def seen() -> dict[str, list[str]]:
        first, second = await directory.current(), await other_process.current()
        assert selectors(first.features["dkim"]) == selectors(second.features["dkim"])
        return selectors(first.features["dkim"])

    assert await seen() == {}
    await add(db, table, "gmp1")
    assert await seen() == {"t": ["gmp1"]}
    before = (await directory.current()).features["dkim"]["t", "example.org"]["gmp1"]
    await add(db, table, "gmp2")
    await add(db, table, "gmp1", "u")
    assert await seen() == {"t": ["gmp1", "gmp2"], "u": ["gmp1"]}
    assert (await directory.current()).features["dkim"]["t", "example.org"]["gmp1"] is before
    await db.write(lambda c: table.delete(c, tenant_id="t", selector="gmp1"))
    assert await seen() == {"t": ["gmp2"], "u": ["gmp1"]}
    await db.write(lambda c: tables.tenants.delete(c, id="u"))
    assert await seen() == {"t": ["gmp2"]}


async def test_a_change_of_an_account_does_not_read_keys_again(
    db: SqlDb, tables: Tables, table: DkimKeysTable, directory: Directory
) -> None:
    await db.write(tables.instance.ensure, "test", 1.0)
    account = await add_tenant(db, tables, "t")
    await add(db, table, "gmp1")
    before = await directory.current()
    identity = {"pk": account, "tenant_id": "t"}
    await db.write(tables.accounts.update, identity, {"options": {"dkim": False}})
    after = await directory.current()
    assert after.features["dkim"] is before.features["dkim"]
    assert after.accounts[account].options == {"dkim": False}


async def test_a_rotation_of_the_encryption_key_covers_dkim_keys(
    db: SqlDb, tables: Tables, table: DkimKeysTable
) -> None:
    new = bytes(range(32, 64))
    await db.write(tables.instance.ensure, "test", 1.0)
    await add_tenant(db, tables, "t")
    await add(db, table, "gmp1")
    await db.write(lambda c: reencrypt(c, db, KEY, new, lambda done, total: None))
    rotated = Tables.of(db, new).of_feature(DkimKeysTable)
    row = await db.read(lambda c: rotated.get(c, tenant_id="t"))
    assert row["private_key"] == dkim_mails.private_keys()["ed"]


async def test_a_damaged_key_spoils_no_other(
    db: SqlDb, tables: Tables, table: DkimKeysTable, directory: Directory
) -> None:
    await db.write(tables.instance.ensure, "test", 1.0)
    await add_tenant(db, tables, "t")
    await add(db, table, "gmp1")
    await add(db, table, "gmp2")
    moved = (
        "UPDATE dkim_key SET private_key = "
        "(SELECT private_key FROM dkim_key WHERE selector = 'gmp1') WHERE selector = 'gmp2'"
    )
    await db.write(lambda c: c.exec_driver_sql(moved).rowcount)
    keys = (await directory.current()).features["dkim"]["t", "example.org"]
    assert isinstance(keys["gmp1"], SigningKey)
    assert isinstance(keys["gmp2"], Damaged)
