"""No statement that runs often, or on request, reads the messages from one end to the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from tests.database.plans import plans, whole_scans
from tests.database.test_queue import NOW, claim, make_account, new, register

from mail_proxy.domain.limits import RateLimit
from mail_proxy.sql import Connection, SqlDb, schema
from mail_proxy.sql.messages import listing
from mail_proxy.sql.messages.listing import MessageFilter
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

#: Small, whatever the queue: what is being sent, and the first entry of a sorted index.
_BOUNDED = ("ix_message_sending",)
_STEPPING = ("ix_message_waiting", "ix_message_urgent")


@pytest.fixture
async def account(db: SqlDb, tables: Tables) -> str:
    """With messages in several states."""
    pk = await make_account(db, tables)
    messages = [new(pk, f"m{i}", batch="b" if i % 2 else None) for i in range(40)]
    await db.write(tables.messages.add, [*messages, new(pk, "later", due=NOW + 60)])
    await db.write(claim(tables, [pk], await register(db, tables), limit=10))
    return pk


async def scans(
    db: SqlDb, work: Callable[..., Any], *arguments: Any, but: tuple[str, ...] = _BOUNDED
) -> list[str]:
    found = [line for plan in await plans(db, work, *arguments) for line in whole_scans(plan)]
    return [line for line in found if not any(index in line for index in but)]


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"active_only": True},
        *(
            {"wanted_states": [state]}
            for state in ("pending", "sending", "sent", "deferred", "error")
        ),
        {"account_id": "a"},
        {"account_id": "a", "wanted_states": ["error"]},
        {"batch_code": "b"},
        {"batch_code": "b", "wanted_states": ["error"]},
        {"id": "m1"},
        {"text": "hello"},
        {"recipient_failed": True},
        {"code": 550},
        {"code": 550, "text": "hello", "wanted_states": ["error"]},
        {"created_from": NOW, "created_before": NOW + 60},
        {"created_from": NOW, "account_id": "a"},
        {"created_before": NOW, "batch_code": "b", "recipient_failed": True},
    ],
    ids=lambda wanted: "-".join(map(str, wanted.values())) or "all",
)
@pytest.mark.parametrize("before", [None, "ffffffff-ffff-7fff-bfff-ffffffffffff"])
async def test_listing(db: SqlDb, account: str, wanted: dict[str, Any], before: str | None) -> None:
    for oldest_first in (False, True):
        in_order = partial(listing.page, oldest_first=oldest_first)
        assert await scans(db, in_order, MessageFilter("t", **wanted), 10, before, but=()) == []


async def test_the_tenants_that_have_an_id(db: SqlDb, tables: Tables, account: str) -> None:
    assert await scans(db, tables.messages.tenants_with, "m1", 21, but=()) == []


async def test_claims_and_what_they_look_at(db: SqlDb, tables: Tables, account: str) -> None:
    queue = tables.queue
    for look in (queue.waiting_accounts, queue.urgent_accounts):
        assert await scans(db, look, but=_STEPPING) == []
    assert await scans(db, queue.came_due, NOW, NOW + 100, 10) == []
    assert await scans(db, queue.next_due_at, NOW) == []
    assert await scans(db, queue.due, [account], 2, NOW, 10) == []
    minute = {account: (RateLimit(60, 10),)}
    of = tables.rate_use.of
    assert (
        await scans(db, lambda c: of(c, minute, {"t": (RateLimit(3600, 9),)}, NOW, lock=True)) == []
    )


@pytest.mark.parametrize("priority", [0, 2])
@pytest.mark.parametrize("waited", [0, 5])
async def test_a_claim_reads_no_more_than_it_takes(
    db: SqlDb, tables: Tables, priority: int, waited: int
) -> None:
    """It comes in order from an index, also by statistics of a time when ``waited`` messages, or
    none, waited for each account: there may be a million now."""
    accounts = [await make_account(db, tables, account=f"a{i}") for i in range(100)]
    for account in accounts:
        few = [new(account, f"{account}{i}", priority=priority) for i in range(waited + 10)]
        await db.write(tables.messages.add, few)
    await db.write(_finished_but, waited)
    await db.write(tables.messages.add, [new(accounts[0], f"m{i}") for i in range(500)])
    await db.write(tables.instance.ensure, "test", NOW)
    await db.write(tables.suspensions.suspend, "t", "another batch")
    for plan in await plans(db, tables.queue.due, accounts[:3], priority, NOW, 50, scans=True):
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan


def _finished_but(connection: Connection, waited: int) -> None:
    """All but ``waited`` messages of each account; then look at what there is."""
    statement = (
        "UPDATE message SET state = 'sent' WHERE pk NOT IN (SELECT pk FROM (SELECT pk, "
        "row_number() OVER (PARTITION BY account_pk ORDER BY pk) AS place FROM message) AS placed "
        f"WHERE place <= {waited})"
    )
    connection.exec_driver_sql(statement)
    connection.exec_driver_sql("ANALYZE message")


async def test_leases(db: SqlDb, tables: Tables, account: str) -> None:
    me = await register(db, tables)
    for work in (tables.queue.hand_back, tables.queue.rescue):
        assert await scans(db, work, me if work == tables.queue.hand_back else [me]) == []


async def test_counts(db: SqlDb, tables: Tables, account: str) -> None:
    for which in ((EVERY_TENANT,), ("t",), ("t", "b")):
        assert await scans(db, tables.messages.count_waiting, *which) == []


async def test_removals(db: SqlDb, tables: Tables, account: str) -> None:
    work: list[tuple[Callable[..., Any], list[Any]]] = [
        (tables.messages.elsewhere, ["u", ["m1"]]),
        (tables.messages.remove_waiting_or_done, ["t", ["m1"]]),
        (tables.given_up.of_account, [account, "gone", NOW, 10]),
        (tables.given_up.overdue, [account, "gone", NOW, NOW, 10]),
        (tables.given_up.orphaned, []),
        (tables.messages.places, ["t", ("error", account), 10]),
        (tables.messages.remove, [[account]]),
        (tables.messages.remove_of_tenant, ["t"]),
    ]
    for remove, arguments in work:
        assert await scans(db, remove, *arguments, but=(*_BOUNDED, *_STEPPING)) == []


async def test_reports(db: SqlDb, tables: Tables, account: str) -> None:
    assert await scans(db, tables.events.unreported, "t", NOW, 10) == []
    assert await scans(db, tables.tenant_sync.due, NOW, True) == []


def test_every_foreign_key_of_a_message_has_an_index() -> None:
    """Without one, each row that is removed elsewhere costs a walk over the table."""
    for table in (schema.account, schema.message, schema.message_payload, schema.message_event):
        starts = {next(iter(table.primary_key.columns)).name} | {
            next(iter(index.columns)).name
            for index in table.indexes
            if index.dialect_options["sqlite"]["where"] is None
        }
        assert {key.parent.name for key in table.foreign_keys} <= starts
