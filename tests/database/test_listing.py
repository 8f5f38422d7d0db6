"""Listings that have to look into messages: each call into so many at most, and none is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from tests.database.test_queue import NOW, make_account, new

from mail_proxy.domain.mail import Address, Mail
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import SqlDb, schema
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.insert import NewMessage
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.messages.mail_codec import dump_head, dump_mail, load_mail
from mail_proxy.sql.tables import Tables

MESSAGES = 400
MOST = 60


@pytest.fixture
async def stored(db: SqlDb, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids, oldest first: every ninth failed, half are of a batch, some of a removed account."""
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", MOST)
    gone = await make_account(db, tables)
    await db.write(tables.accounts.update, {"pk": gone, "tenant_id": "t"}, {"deleted_at": NOW})
    account = await make_account(db, tables)
    other = await make_account(db, tables, account="b")
    accounts = [gone, account, account, other]
    messages = [
        new(accounts[i % 4], f"m{i}", batch="spring" if i % 2 else None) for i in range(MESSAGES)
    ]
    await db.write(tables.messages.add, messages)
    for message in messages[::9]:
        row = {"pk": message.pk, "tenant_id": "t"}
        await db.write(tables.messages.update, row, {"state": "error"})
    return [message.id for message in messages]


def _fits(wanted: dict[str, Any], number: int) -> bool:
    state = "error" if number % 9 == 0 else "pending"
    account = "b" if number % 4 == 3 else "a"
    batch = "spring" if number % 2 else None
    return (
        state in wanted.get("wanted_states", [state])
        and wanted.get("account_id", account) == account
        and wanted.get("batch_code", batch) == batch
        and (wanted.get("text") in (None, "hello"))
        and not (wanted.get("active_only") and state == "error")
    )


@pytest.mark.parametrize(
    "wanted",
    [
        {"account_id": "a", "wanted_states": ["error"]},
        {"account_id": "a", "active_only": True},
        {"account_id": "a", "batch_code": "spring"},
        {"account_id": "b", "batch_code": "spring", "wanted_states": ["error"]},
        {"batch_code": "spring", "wanted_states": ["error"]},
        {"text": "hello"},
        {"text": "hello", "wanted_states": ["error"]},
        {"text": "hello", "account_id": "a", "wanted_states": ["error"]},
        {"text": "nobody"},
        {"account_id": "a", "wanted_states": ["sent"]},
    ],
    ids=lambda wanted: "-".join(map(str, wanted.values())),
)
@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_following_the_cursor_shows_every_hit_once(
    db: SqlDb, stored: list[str], wanted: dict[str, Any], limit: int
) -> None:
    shown: list[str] = []
    cursor: str | None = None
    while True:
        page = await db.read(listing.page, MessageFilter("t", **wanted), limit, cursor)
        assert len(page.rows) <= limit
        shown += [row["id"] for row in page.rows]
        cursor = page.next_pk
        if cursor is None:
            break
    hits = [id_ for number, id_ in enumerate(stored) if _fits(wanted, number)]
    assert shown == hits[::-1]


async def test_a_page_without_hits_says_where_to_go_on(db: SqlDb, stored: list[str]) -> None:
    for wanted in (
        MessageFilter("t", text="nobody"),
        MessageFilter("t", account_id="a", wanted_states=["sent"]),
    ):
        pages, cursor = 1, None
        while True:
            page = await db.read(listing.page, wanted, 10, cursor)
            assert page.rows == []
            if page.next_pk is None:
                break
            assert cursor is None or page.next_pk < cursor
            pages, cursor = pages + 1, page.next_pk
        looked_through = MESSAGES if wanted.text else MESSAGES * 3 // 4
        assert pages >= looked_through // MOST


async def test_one_filter_alone_always_fills_its_page(db: SqlDb, stored: list[str]) -> None:
    for wanted in (
        MessageFilter("t"),
        MessageFilter("t", wanted_states=["pending"]),
        MessageFilter("t", account_id="a"),
        MessageFilter("t", batch_code="spring"),
    ):
        page = await db.read(listing.page, wanted, 100, None)
        assert len(page.rows) == 100
        assert page.next_pk == page.rows[-1]["pk"]
    assert await db.read(listing.page, MessageFilter("t", id=uuid7()), 10, None) == listing.Page(
        [], None
    )


def _large(account: str, subject: str) -> NewMessage:
    people = Address("Ann", "ann@example.org"), (Address("", "bob@example.net"),)
    mail = Mail(*people, (), (), subject, "x" * 100_000, "plain", "<m@example.org>")
    content = dump_mail(mail)
    return replace(new(account, "large"), content=content, head=dump_head(mail, content))


async def test_a_listing_reads_no_large_content(db: SqlDb, tables: Tables) -> None:
    message = _large(await make_account(db, tables), "Hello")
    await db.write(tables.messages.add, [message])
    unreadable = update(schema.message_payload).values(content="{")
    await db.write(lambda connection: connection.execute(unreadable).rowcount)
    for subject in ("Hello", "Hello again"):
        page = await db.read(listing.page, MessageFilter("t"), 10, None)
        detail = await db.read(tables.messages.detail, "t", "large")
        assert detail is not None
        for row in (*page.rows, detail):
            head = load_mail(row["content"])
            assert (head.subject, head.sender.name, head.body) == (subject, "Ann", "")
        # The place of a waiting message with the same id is taken.
        await db.write(tables.messages.add, [_large(message.account_pk, "Hello again")])


async def test_a_small_message_in_the_place_of_a_large_one_is_listed(
    db: SqlDb, tables: Tables
) -> None:
    large = _large(await make_account(db, tables), "Hello")
    mail = replace(load_mail(large.content), subject="Short", body="x")
    small = replace(large, pk=uuid7(), content=dump_mail(mail), head=None)
    for message in (large, small):
        await db.write(tables.messages.add, [message])
    row = await db.read(tables.messages.detail, "t", "large")
    assert row is not None
    assert load_mail(row["content"]) == mail


@pytest.mark.parametrize("text", ["nobody", "hello"])
async def test_a_search_ends_when_its_time_is_up_and_the_next_page_goes_on(
    db: SqlDb, stored: list[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 100 * MESSAGES)
    monkeypatch.setattr(listing, "MOST_SECONDS", 0.0)
    pages, shown, cursor = 0, [], None
    while pages == 0 or cursor is not None:
        page = await db.read(listing.page, MessageFilter("t", text=text), 1000, cursor)
        pages, cursor = pages + 1, page.next_pk
        shown += [row["id"] for row in page.rows]
    assert pages > 1
    assert shown == (stored[::-1] if text == "hello" else [])
