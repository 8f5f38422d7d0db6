"""Messages in error back in the queue: nobody gets anything twice."""

from __future__ import annotations

import orjson
from tests.database.plans import plans, whole_scans
from tests.database.test_queue import NOW, change, claim, make_account, new, register

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.sql import SqlDb
from mail_proxy.sql.messages.mail_codec import dump_mail
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

LATER = NOW + 1000


def result(address: str, status: str) -> dict[str, object]:
    return {"address": address, "status": status, "code": None, "response": "x"}


def mail_to(*addresses: str) -> str:
    to = tuple(Address("", address) for address in addresses)
    return dump_mail(Mail(Address("", "me@example.org"), to, (), (), "s", "b", "plain", "<1@x>"))


async def fail(db: SqlDb, tables: Tables, account: str, **values: object) -> list[str]:
    """End all that is due in error; returns the pks in order."""
    me = await register(db, tables)
    claimed = await db.write(claim(tables, [account], me, limit=1000))
    changes = [change(m, "error", error="no", retries=5, **values) for m in claimed]
    await db.write(tables.queue.record, changes)
    return [m.pk for m in claimed]


async def test_a_retried_message_is_as_new(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m")])
    pks = await fail(db, tables, account, recipient_results=[result("x@y.example", "failed")])

    assert await db.read(tables.retried.named, "t", ["m", "other"]) == pks
    assert await db.read(tables.retried.named, "u", ["m"]) == []
    assert await db.write(tables.retried.retry, pks, LATER) == 1

    row = await db.read(tables.messages.detail, "t", "m")
    assert (row["state"], row["due_at"], row["retries"]) == ("pending", LATER, 0)
    emptied = ("error", "state_at", "recipients_left", "recipient_results")
    assert [row[name] for name in emptied] == [None] * 4
    events = await db.read(tables.events.of_message, "t", pks[0])
    assert [(e["event_type"], e["event_at"]) for e in events][2:] == [("queued", LATER)]
    assert await db.write(tables.retried.retry, pks, LATER) == 0


async def test_recipients_that_have_it_are_left_out(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    content = mail_to("a@x.example", "b@x.example", "c@x.example", "d@x.example")
    await db.write(tables.messages.add, [new(account, "m", content=content)])
    results = [
        result("a@x.example", "sent"),
        result("b@x.example", "failed"),
        result("c@x.example", "deferred"),
    ]
    pks = await fail(db, tables, account, recipient_results=results, recipients_left=["c"])
    assert await db.write(tables.retried.retry, pks, LATER) == 1

    row = await db.read(tables.messages.detail, "t", "m")
    assert row["recipients_left"] == ["b@x.example", "c@x.example", "d@x.example"]
    assert row["recipient_results"] == results[:1]


async def test_what_everybody_has_is_not_sent_again(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m", content=mail_to("a@x.example"))])
    pks = await fail(db, tables, account, recipient_results=[result("a@x.example", "sent")])
    assert await db.write(tables.retried.retry, pks, LATER) == 0


async def test_a_removed_account_keeps_its_errors(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m", batch="b")])
    pks = await fail(db, tables, account)
    await db.write(
        tables.accounts.update, {"pk": account, "tenant_id": EVERY_TENANT}, {"deleted_at": NOW}
    )
    assert await db.read(tables.retried.named, "t", ["m"]) == []
    assert await db.write(tables.retried.retry, pks, LATER) == 0


async def test_a_batch_comes_in_slices_in_order_of_age(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    messages = [new(account, str(n), batch="b" if n % 2 else "c") for n in range(10)]
    await db.write(tables.messages.add, messages)
    await fail(db, tables, account)
    await db.write(tables.messages.add, [new(account, "waiting", batch="b")])
    expected = sorted(m.pk for m in messages if m.batch_code == "b")
    first = await db.read(tables.retried.of_batch, "t", "b", None, 3)
    second = await db.read(tables.retried.of_batch, "t", "b", first[-1], 3)
    assert first + second == expected
    assert await db.write(tables.retried.retry, expected, LATER) == 5
    me = await register(db, tables)
    claimed = await db.write(claim(tables, [account], me, now=LATER, limit=100))
    claimed.sort(key=lambda m: (m.due_at, m.pk))
    assert [m.id for m in claimed] == ["waiting", *(str(n) for n in range(1, 10, 2))]


async def test_a_retried_message_joins_a_batch_that_is_held(db: SqlDb, tables: Tables) -> None:
    await db.write(tables.instance.ensure, "test", NOW)
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m", batch="b")])
    pks = await fail(db, tables, account)
    await db.write(tables.messages.add, [new(account, "n", batch="b")])
    await db.write(tables.suspensions.suspend, "t", "b")
    await db.write(tables.suspended.hold, ("t", "b"), 10)
    assert await db.write(tables.retried.retry, pks, LATER) == 1
    row = await db.read(tables.messages.detail, "t", "m")
    assert (row["state"], row["held"]) == ("pending", True)


async def test_it_goes_by_index(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    content = mail_to("a@x.example", "b@x.example")
    await db.write(tables.messages.add, [new(account, "m", content=content, batch="b")])
    results = [result("a@x.example", "sent"), result("b@x.example", "failed")]
    pks = await fail(db, tables, account, recipient_results=results)
    (batch,) = await plans(db, tables.retried.of_batch, "t", "b", pks[0], 10)
    assert "ix_message_batch" in batch
    assert "TEMP B-TREE" not in batch
    for plan in (batch, *await plans(db, tables.retried.retry, pks, LATER)):
        assert not whole_scans(plan), plan
    row = await db.read(tables.messages.detail, "t", "m")
    assert orjson.dumps(row["recipients_left"]) == b'["b@x.example"]'
