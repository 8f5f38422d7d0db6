"""Listings by time, reply code and refused recipients, in both orders, against a plain model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.database.test_queue import make_account, new

from mail_proxy.kit.ids import Uuid7Maker
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.events import NewEvent
from mail_proxy.sql.messages.insert import NewMessage
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock

MESSAGES = 240
STEP_SECONDS = 60.0
BEGAN = 1_800_000_000.0
CODES = (None, 550, 451, 421)


@dataclass(frozen=True)
class Known:
    """What a message is, as the model knows it."""

    id: str
    tenant_id: str
    created_at: float
    state: str
    code: int | None
    refused: bool
    subject: str


def _model(number: int) -> Known:
    state = ("error", "deferred", "sent", "pending", "sent")[number % 5]
    return Known(
        id=f"m{number}",
        tenant_id="u" if number % 7 == 0 else "t",
        created_at=BEGAN + number * STEP_SECONDS,
        state=state,
        code=CODES[number % 4] if state in ("error", "deferred") else None,
        refused=state == "error" or number % 10 == 2,
        subject="Hello" if number % 2 else "Other",
    )


def _failures(message: NewMessage, known: Known) -> Iterator[NewEvent]:
    """Another code before the last one, and the code that is asked for in places that do not
    count: a single recipient's, a text."""
    place = message.pk, message.tenant_id, message.account_pk
    if known.state in ("error", "deferred"):
        text = f'he said "code":{550 if known.code != 550 else 451}'
        one = {"address": "x@y.example", "status": "failed", "code": 421, "response": text}
        yield NewEvent(*place, "deferred", 1.0, {"deferred_reason": "x", "code": 452})
        field = "error" if known.state == "error" else "deferred_reason"
        data = {field: text, "code": known.code, "recipients": [one]}
        yield NewEvent(*place, known.state, 2.0, data)
    yield NewEvent(*place, "sent", 3.0, {"code": 421})


@pytest.fixture
async def stored(db: SqlDb, tables: Tables, monkeypatch: pytest.MonkeyPatch) -> list[Known]:
    """Messages that were taken in a minute apart, oldest first, of two tenants."""
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 60)
    monkeypatch.setattr(listing, "LONGEST_INTAKE_SECONDS", STEP_SECONDS)
    accounts = {tenant: await make_account(db, tables, tenant) for tenant in ("t", "u")}
    clock = FakeClock(BEGAN)
    make = Uuid7Maker(clock.now)
    known = [_model(number) for number in range(MESSAGES)]
    messages = []
    for one in known:
        row = new(accounts[one.tenant_id], one.id, tenant=one.tenant_id)
        messages.append(replace(row, pk=make(), created_at=one.created_at, subject=one.subject))
        clock.advance(STEP_SECONDS)

    def write(connection: Connection) -> None:
        tables.messages.add(connection, messages)
        for message, one in zip(messages, known, strict=True):
            # A server may say what looks like the stored form of a refusal.
            text = 'he said "status":"failed"'
            status = "failed" if one.refused and one.state != "error" else "sent"
            results = [{"address": "x@y.example", "status": status, "code": 1, "response": text}]
            values = {"state": one.state, "recipient_results": results}
            row = {"pk": message.pk, "tenant_id": message.tenant_id}
            tables.messages.update(connection, row, values)
            tables.events.append(connection, list(_failures(message, one)))

    await db.write(write)
    return known


def minute(number: float) -> float:
    return BEGAN + number * STEP_SECONDS


FILTERS: list[tuple[dict[str, Any], Callable[[Known], bool]]] = [
    ({}, lambda m: True),
    ({"tenant_id": "t"}, lambda m: m.tenant_id == "t"),
    ({"created_from": minute(50)}, lambda m: m.created_at >= minute(50)),
    ({"created_before": minute(190)}, lambda m: m.created_at < minute(190)),
    ({"code": 550}, lambda m: m.code == 550),
    ({"code": 421}, lambda m: m.code == 421),
    ({"recipient_failed": True}, lambda m: m.refused),
    ({"text": "hello"}, lambda m: m.subject == "Hello"),
    ({"wanted_states": ["error", "sent"]}, lambda m: m.state in ("error", "sent")),
    ({"active_only": True}, lambda m: m.state in ("pending", "deferred")),
    ({"account_id": "a"}, lambda m: True),
    ({"account_id": "nobody"}, lambda m: False),
]
PAIRS = [
    (one, other)
    for number, one in enumerate(FILTERS)
    for other in FILTERS[number:]
    if one is other or not set(one[0]) & set(other[0])
]


async def follow(db: SqlDb, wanted: MessageFilter, limit: int, *, oldest_first: bool) -> list[str]:
    """Ids of all pages; each page is full, examined its share, or is the last."""
    shown: list[str] = []
    place: str | None = None
    for _ in range(MESSAGES):
        page = await db.read(
            lambda c, place=place: listing.page(c, wanted, limit, place, oldest_first=oldest_first)
        )
        assert len(page.rows) <= limit
        shown += [row["id"] for row in page.rows]
        place = page.next_pk
        if place is None:
            return shown
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_following_the_cursor_shows_each_match_once_in_order(
    db: SqlDb, stored: list[Known], oldest_first: bool
) -> None:
    for number, (one, other) in enumerate(PAIRS):
        wanted = MessageFilter(**{"tenant_id": None, **one[0], **other[0]})
        expected = [m.id for m in stored if one[1](m) and other[1](m)]
        limit = (7, 40, 1000)[number % 3]
        found = await follow(db, wanted, limit, oldest_first=oldest_first)
        assert found == expected[:: 1 if oldest_first else -1], wanted


async def test_a_range_of_time_is_found_at_once_among_newer_messages(
    db: SqlDb, stored: list[Known]
) -> None:
    hour = MessageFilter("t", created_from=minute(20), created_before=minute(40))
    expected = [m.id for m in stored[20:40] if m.tenant_id == "t"]
    for oldest_first, order in ((False, -1), (True, 1)):
        page = await db.read(
            lambda c, way=oldest_first: listing.page(c, hour, 100, None, oldest_first=way)
        )
        assert [row["id"] for row in page.rows] == expected[::order]
        assert page.next_pk is None


async def test_a_clock_that_was_set_back_hides_no_message(db: SqlDb, tables: Tables) -> None:
    account = await make_account(db, tables)
    clock = FakeClock(BEGAN)
    make = Uuid7Maker(clock.now)
    for number, step in enumerate((0.0, 7200.0, -30.0, -7200.0, 86_400.0)):
        clock.advance(step)
        message = replace(new(account, f"m{number}"), pk=make(), created_at=clock.now())
        await db.write(tables.messages.add, [message])
        second = MessageFilter("t", created_from=clock.now(), created_before=clock.now() + 1)
        page = await db.read(listing.page, second, 10, None)
        assert f"m{number}" in [row["id"] for row in page.rows]
