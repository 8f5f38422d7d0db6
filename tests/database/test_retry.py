"""Messages in error back in the queue: nobody gets anything twice."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.database.plans import plans, whole_scans
from tests.database.test_queue import NOW, change, claim, make_account, new, register

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.sql import SqlDb
from mail_proxy.sql.messages.mail_codec import dump_mail
from mail_proxy.sql.messages.retry import NamedMessage, RetryFilter
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

    named = await db.read(tables.retried.named, RetryFilter("t"), ["m", "other"])
    assert named == [NamedMessage("m", pks[0], failed=True, fits=True)]
    assert await db.read(tables.retried.named, RetryFilter("u"), ["m"]) == []
    assert await db.write(tables.retried.retry, pks, LATER) == 1

    row = await db.read(tables.messages.detail, "t", "m")
    assert (row["state"], row["due_at"], row["retries"]) == ("pending", LATER, 0)
    emptied = ("error", "state_at", "recipients_left", "recipient_results")
    assert [row[name] for name in emptied] == [None] * 4
    events = await db.read(tables.events.history, "t", pks[0], row["created_at"])
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
    (named,) = await db.read(tables.retried.named, RetryFilter("t"), ["m"])
    assert not named.failed
    assert await db.read(tables.retried.page, RetryFilter("t", batch_code="b"), None) == ([], None)
    assert await db.write(tables.retried.retry, pks, LATER) == 0


async def test_a_batch_comes_in_pages_in_order_of_age(
    db: SqlDb, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mail_proxy.sql.messages.retry._PAGE", 3)
    account = await make_account(db, tables)
    messages = [new(account, str(n), batch="b" if n % 2 else "c") for n in range(10)]
    await db.write(tables.messages.add, messages)
    await fail(db, tables, account)
    await db.write(tables.messages.add, [new(account, "waiting", batch="b")])
    expected = sorted(m.pk for m in messages if m.batch_code == "b")
    wanted = RetryFilter("t", batch_code="b")
    first, place = await db.read(tables.retried.page, wanted, None)
    assert place == first[-1]
    second, place = await db.read(tables.retried.page, wanted, place)
    assert first + second == expected
    assert await db.read(tables.retried.page, wanted, place) == ([], None)
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
    wanted = RetryFilter("t", batch_code="b", error_like="x", account_id="a")
    (batch,) = await plans(db, tables.retried.page, wanted, pks[0])
    assert "ix_message_batch" in batch
    (by_state,) = await plans(db, tables.retried.page, RetryFilter("t", error_like="x"), pks[0])
    assert "ix_message_tenant_id_state" in by_state
    assert "TEMP B-TREE" not in batch + by_state
    for plan in (batch, by_state, *await plans(db, tables.retried.retry, pks, LATER)):
        assert not whole_scans(plan), plan
    row = await db.read(tables.messages.detail, "t", "m")
    assert orjson.dumps(row["recipients_left"]) == b'["b@x.example"]'


async def test_every_filter_has_to_hold(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    mails = [new(account, "m", batch="b"), new(account, "n", batch="b"), new(account, "o")]
    await db.write(tables.messages.add, mails)
    m, n, o = await fail(db, tables, account)
    await db.write(tables.messages.add, [new(account, "waiting", batch="b")])

    async def found(**parts: Any) -> list[str]:
        pks, _ = await db.read(tables.retried.page, RetryFilter("t", **parts), None)
        return pks

    assert await found(batch_code="b") == [m, n]
    assert await found(account_id="a") == [m, n, o]
    assert await found(account_id="a", batch_code="b", error_like="NO") == [m, n]
    assert await found(account_id="another") == []
    assert await found(error_like="%") == []
    assert await found(created_from=NOW) == [m, n, o]
    assert await found(created_from=NOW + 0.001) == []
    assert await found(created_before=NOW) == []
    assert await found(created_before=NOW + 0.001, batch_code="b") == [m, n]
    named = await db.read(
        tables.retried.named, RetryFilter("t", batch_code="b"), ["o", "waiting", "m"]
    )
    assert {(n.id, n.failed, n.fits) for n in named} == {
        ("m", True, True),
        ("o", True, False),
        ("waiting", False, True),
    }


async def test_deferred_messages_become_due_and_keep_their_count(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, "m"), new(account, "n")])
    me = await register(db, tables)
    first, second = await db.write(claim(tables, [account], me))
    changes = [
        change(first, "deferred", error="450 later", retries=3, due_at=LATER + 500),
        change(second, "error", error="no"),
    ]
    await db.write(tables.queue.record, changes)
    wanted = RetryFilter("t", deferred=True)
    pks, _ = await db.read(tables.retried.page, wanted, None)
    assert pks == [first.pk, second.pk]
    assert await db.write(tables.retried.make_due, pks, LATER) == 1
    row = await db.read(tables.messages.detail, "t", "m")
    assert (row["state"], row["due_at"], row["retries"]) == ("deferred", LATER, 3)
