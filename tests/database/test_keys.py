"""Sealed values are bound to their place; the key can be replaced"""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from tests.conftest import KEY
from tests.harness.rows import add_tenant, new_message

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.domain.attachment import Attachment, FetchMode
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.errors import EncryptionError, EncryptionKeyChanged
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import Connection, Damaged, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.keys import key_matches, reencrypt
from mail_proxy.sql.messages.mail_codec import dump_mail, load_mail
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.instance import bump_directory

NEW = bytes(range(32, 64))
NOW = 1_800_000_000.0
SECRET, OTHER = "the first secret", "the second secret"


def ignore(done: int, total: int) -> None:
    pass


async def write(db: SqlDb, statement: str) -> None:
    await db.write(lambda connection: connection.execute(text(statement)))


async def add_accounts(db: SqlDb, tables: Tables) -> tuple[str, str]:
    """Two accounts with two secrets each; their pks."""
    await db.write(tables.instance.ensure, "test", NOW)
    first, second = await add_tenant(db, tables, "t"), await add_tenant(db, tables, "u")
    for pk, secret in ((first, SECRET), (second, OTHER)):
        values = {"password": secret, "imap_password": f"imap {secret}"}
        await db.write(tables.accounts.update, {"pk": pk, "tenant_id": EVERY_TENANT}, values)
    return first, second


@pytest.mark.parametrize("row", ["other", "same"])
async def test_a_value_that_was_moved_is_refused_and_the_reason_names_its_place(
    row: str, db: SqlDb, tables: Tables
) -> None:
    first, second = await add_accounts(db, tables)
    source = (
        f"(SELECT password FROM account WHERE pk = '{second}')"
        if row == "other"
        else "imap_password"
    )
    await write(db, f"UPDATE account SET password = {source} WHERE pk = '{first}'")
    moved = await db.read(lambda c: tables.accounts.get(c, tenant_id=EVERY_TENANT, pk=first))
    assert isinstance(moved["password"], Damaged)
    assert moved["password"].reason.startswith(f"account.password of row {first}: ")
    assert moved["imap_password"] == f"imap {SECRET}"
    assert SECRET not in repr(moved["password"])
    assert OTHER not in repr(moved["password"])
    untouched = await db.read(lambda c: tables.accounts.get(c, tenant_id=EVERY_TENANT, pk=second))
    assert untouched["password"] == OTHER


async def test_a_value_of_another_table_is_refused(db: SqlDb, tables: Tables) -> None:
    first, _ = await add_accounts(db, tables)
    await write(
        db,
        f"UPDATE tenant SET client_auth = (SELECT password FROM account WHERE pk = '{first}'), "
        f"signing_secret = (SELECT password FROM account WHERE pk = '{first}') WHERE id = 't'",
    )
    tenant = await db.read(lambda c: tables.tenants.get(c, id="t"))
    assert tenant["client_auth"].reason.startswith("tenant.client_auth of row t: ")
    assert tenant["signing_secret"].reason.startswith("tenant.signing_secret of row t: ")


async def test_tables_that_do_not_keep_damage_raise_it(db: SqlDb, tables: Tables) -> None:
    await add_accounts(db, tables)
    await write(db, "UPDATE instance SET key_check = 'ENC:AAAA'")
    with pytest.raises(EncryptionError, match=r"^instance\.key_check of row 1: "):
        await db.read(lambda c: tables.instance.get(c, id=1))


async def test_damage_cannot_be_written_back(db: SqlDb, tables: Tables) -> None:
    first, _ = await add_accounts(db, tables)
    await write(db, f"UPDATE account SET password = 'ENC:AAAA' WHERE pk = '{first}'")
    row = await db.read(lambda c: tables.accounts.get(c, tenant_id=EVERY_TENANT, pk=first))
    with pytest.raises(EncryptionError, match=r"account\.password of row"):
        await db.write(
            tables.accounts.update,
            {"pk": first, "tenant_id": EVERY_TENANT},
            {"password": row["password"]},
        )


async def test_all_values_open_with_the_new_key_and_none_with_the_old(
    db: SqlDb, tables: Tables
) -> None:
    first, _ = await add_accounts(db, tables)
    auth = {"method": "bearer", "token": SECRET}
    values = {"client_auth": auth, "signing_secret": SECRET, "previous_signing_secret": OTHER}
    await db.write(tables.tenants.update, {"id": "t"}, values)
    steps: list[tuple[int, int]] = []
    count = await db.write(reencrypt, db, KEY, NEW, lambda *step: steps.append(step))
    assert count == 8
    assert steps[-1] == (8, 8)
    assert (await db.read(key_matches, KEY), await db.read(key_matches, NEW)) == (False, True)

    after = Tables.of(db, NEW)
    account = await db.read(lambda c: after.accounts.get(c, tenant_id=EVERY_TENANT, pk=first))
    assert (account["password"], account["imap_password"]) == (SECRET, f"imap {SECRET}")
    tenant = await db.read(lambda c: after.tenants.get(c, id="t"))
    assert {name: tenant[name] for name in values} == values
    old = await db.read(lambda c: tables.accounts.get(c, tenant_id=EVERY_TENANT, pk=first))
    assert isinstance(old["password"], Damaged)
    assert isinstance(old["imap_password"], Damaged)


async def test_many_rows_are_encrypted_anew(db: SqlDb, tables: Tables) -> None:
    first, _ = await add_accounts(db, tables)
    row = await db.read(lambda c: tables.accounts.get(c, tenant_id=EVERY_TENANT, pk=first))

    def add(connection: Connection) -> None:
        for number in range(1100):
            own = {"pk": uuid7(), "id": f"a{number}", "password": f"secret {number}"}
            tables.accounts.insert(connection, {**row, **own})

    await db.write(add)
    assert await db.write(reencrypt, db, KEY, NEW, ignore) == 2 * 1102 + 1
    after = Tables.of(db, NEW)
    rows = await db.read(lambda c: after.accounts.select(c, tenant_id="t"))
    expected = {f"a{number}": f"secret {number}" for number in range(1100)}
    assert {r["id"]: r["password"] for r in rows} == {"a": SECRET, **expected}


async def test_a_damaged_value_is_named_and_nothing_is_changed(db: SqlDb, tables: Tables) -> None:
    first, second = await add_accounts(db, tables)
    await write(db, f"UPDATE account SET password = 'ENC:AAAA' WHERE pk = '{first}'")
    with pytest.raises(EncryptionError, match=f"account.password of row {first}"):
        await db.write(reencrypt, db, KEY, NEW, ignore)
    assert await db.read(key_matches, KEY)
    row = await db.read(lambda c: tables.accounts.get(c, tenant_id=EVERY_TENANT, pk=second))
    assert row["password"] == OTHER


async def test_who_has_the_old_key_writes_no_secret_and_reads_no_directory_any_more(
    db: SqlDb, tables: Tables
) -> None:
    first, _ = await add_accounts(db, tables)
    directory = Directory(db, tables, ConcurrencyConfig())
    before = await directory.current()
    await db.write(reencrypt, db, KEY, NEW, ignore)
    await db.write(bump_directory)
    with pytest.raises(EncryptionKeyChanged, match="restart"):
        await db.write(
            tables.accounts.update,
            {"pk": first, "tenant_id": EVERY_TENANT},
            {"password": "written late"},
        )
    with pytest.raises(EncryptionKeyChanged, match="restart"):
        await directory.current()
    assert directory.snapshot is before
    assert before.accounts[first].login.password == SECRET
    after = Tables.of(db, NEW)
    row = await db.read(lambda c: after.accounts.get(c, tenant_id=EVERY_TENANT, pk=first))
    assert row["password"] == SECRET
    with pytest.raises(EncryptionKeyChanged):
        await db.write(reencrypt, db, KEY, bytes(32), ignore)


async def test_a_table_that_the_program_does_not_know_stops_a_rotation(
    db: SqlDb, tables: Tables
) -> None:
    await db.write(tables.instance.ensure, "test", NOW)
    await write(db, "CREATE TABLE unheard_of (secret TEXT)")
    with pytest.raises(EncryptionError, match="unknown tables in the database: unheard_of"):
        await db.write(lambda c: reencrypt(c, db, KEY, NEW, ignore))


async def test_logins_of_attachments_open_with_the_new_key(db: SqlDb, tables: Tables) -> None:
    first, _ = await add_accounts(db, tables)
    logins = tables.attachment_logins
    file = Attachment("a.pdf", "https://example.org/a", FetchMode.HTTP_URL, auth=SECRET)
    plain = load_mail(dump_mail(_mail(())))
    mail = logins.sealed(
        _mail((file, replace(file, auth=None), replace(file, auth=OTHER))), "t", "m"
    )
    contents = {"m": dump_mail(mail), "n": dump_mail(plain)}
    messages = [replace(new_message("t", first, id_), content=c) for id_, c in contents.items()]
    await db.write(tables.messages.add, messages)
    assert SECRET not in contents["m"]
    assert logins.sealed(_mail((file,)), "t", "m").attachments[0].auth == mail.attachments[0].auth
    assert logins.sealed(_mail((file,)), "t", "n").attachments[0].auth != mail.attachments[0].auth

    await db.write(reencrypt, db, KEY, NEW, ignore)
    after = Tables.of(db, NEW)
    rows = {id_: await db.read(after.messages.detail, "t", id_) for id_ in contents}
    stored = {id_: row["content"] for id_, row in rows.items() if row is not None}
    opened = [
        each.auth and after.attachment_logins.opened(each.auth, "t", "m")
        for each in load_mail(stored["m"]).attachments
    ]
    assert opened == [SECRET, None, OTHER]
    assert stored["n"] == contents["n"]
    again = after.attachment_logins.sealed(_mail((file,)), "t", "m").attachments[0].auth
    assert again == load_mail(stored["m"]).attachments[0].auth

    broken = r"UPDATE message_payload SET content = replace(content, '\"ENC\:', '\"ENC\:AAAA')"
    await write(db, broken.replace(r"\"", '"'))
    with pytest.raises(EncryptionError, match="attachments of message t/m"):
        await db.write(reencrypt, db, NEW, KEY, ignore)
    assert await db.read(key_matches, NEW)


def _mail(attachments: tuple[Attachment, ...]) -> Mail:
    ann = Address("", "ann@example.org")
    text = 'a quote: "auth":"ENC:AAAA"'
    return Mail(ann, (ann,), (), (), "s", text, "plain", "<a@b>", attachments=attachments)
