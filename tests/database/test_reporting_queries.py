"""Which tenants are due, and that finding out stays cheap."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from tests.harness.rows import add_event, add_messages, add_tenant

from mail_proxy.sql import SqlDb
from mail_proxy.sql.messages.events import NewEvent, is_cut
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables
from mail_proxy.sql.tables.tenant_sync import HANDED_OVER

NOW = 1_800_000_000.0


async def make_tenant(db: SqlDb, tables: Tables, tenant: str, **values: Any) -> str:
    return await add_tenant(db, tables, tenant, **{"client_base_url": "http://localhost", **values})


async def make_events(
    db: SqlDb, tables: Tables, tenant: str, account: str, count: int
) -> list[str]:
    pks = await add_messages(db, tables, tenant, account, [f"m{n}" for n in range(count)])
    await add_event(db, tables, tenant, pks)
    return pks


async def settle(db: SqlDb, tables: Tables, tenant: str, **values: Any) -> None:
    def work(connection: Connection) -> None:
        tables.tenant_sync.claim(connection, tenant, "x", NOW, NOW)
        tables.tenant_sync.release(connection, "x", tenant)
        tables.tenant_sync.update(connection, {"tenant_id": tenant}, values)

    await db.write(work)


async def due(db: SqlDb, tables: Tables, now: float = NOW, everyone: bool = False) -> list[str]:
    return await db.read(tables.tenant_sync.due, now, everyone)


async def test_due_by_time_by_events_and_not_while_called(db: SqlDb, tables: Tables) -> None:
    account = await make_tenant(db, tables, "t")
    await make_tenant(db, tables, "without", client_base_url=None)
    assert await due(db, tables) == ["t"]
    assert await due(db, tables, everyone=True) == ["t", "without"]

    await settle(db, tables, "t", next_due_at=NOW + 300, quiet_until=NOW + 900)
    assert await due(db, tables) == []
    assert await due(db, tables, NOW + 300) == []
    assert await due(db, tables, NOW + 900) == ["t"]

    await make_events(db, tables, "t", account, 1)
    assert await due(db, tables) == ["t"]
    await settle(db, tables, "t", failures=2)
    assert await due(db, tables) == []
    assert await due(db, tables, NOW + 300) == ["t"]

    assert await db.write(tables.tenant_sync.claim, "t", "me", NOW, NOW + 400)
    assert await db.write(tables.tenant_sync.claim, "t", "you", NOW, NOW + 400) is None
    assert await due(db, tables, NOW + 300) == []
    assert await due(db, tables, NOW + 401) == ["t"]
    assert await db.write(tables.tenant_sync.claim, "t", "you", NOW + 401, NOW + 800)


async def test_inactive_tenants_are_due_for_events_only(db: SqlDb, tables: Tables) -> None:
    account = await make_tenant(db, tables, "t", active=False)
    assert await due(db, tables) == []
    await make_events(db, tables, "t", account, 1)
    assert await due(db, tables) == ["t"]


async def test_events_that_were_put_off_are_due_at_their_time(db: SqlDb, tables: Tables) -> None:
    account = await make_tenant(db, tables, "t")
    pks = await make_events(db, tables, "t", account, 2)
    await settle(db, tables, "t", next_due_at=NOW + 300)
    (first, second) = await db.read(tables.events.unreported, "t", NOW, 10)
    await db.write(tables.events.acknowledge, "t", [second], NOW)
    await db.write(tables.events.put_off, [(first.seq, NOW + 60)])
    await add_event(db, tables, "t", [pks[0]], "bounce")

    assert await due(db, tables, NOW + 59) == []
    assert await due(db, tables, NOW + 60) == ["t"]
    (again,) = await db.read(tables.events.unreported, "t", NOW + 60, 10)
    assert (again.seq, again.report_attempts) == (first.seq, 1)
    await db.write(tables.events.acknowledge, "t", [first], NOW + 60)
    (late,) = await db.read(tables.events.unreported, "t", NOW + 60, 10)
    assert late.event_type == "bounce"


async def test_call_now_resets_do_not_disturb_of_one_tenant_only(db: SqlDb, tables: Tables) -> None:
    for tenant in "tu":
        await make_tenant(db, tables, tenant)
        await settle(db, tables, tenant, next_due_at=NOW + 300, quiet_until=NOW + 900)
    await make_tenant(db, tables, "new")
    await db.write(tables.tenant_sync.call_now, NOW, None)
    assert await due(db, tables) == ["new"]
    await db.write(tables.tenant_sync.call_now, NOW, "u")
    await db.write(tables.tenant_sync.call_now, NOW, "nobody")
    assert await due(db, tables) == ["new", "u"]


async def test_arrived_messages_end_the_slowing_down(db: SqlDb, tables: Tables) -> None:
    for tenant in ("slow", "failing", "other", "busy"):
        await make_tenant(db, tables, tenant)
        await settle(db, tables, tenant, next_due_at=NOW + 300)
    await settle(db, tables, "slow", idle_calls=5)
    await settle(db, tables, "failing", idle_calls=5, failures=1)
    await db.write(tables.tenant_sync.claim, "busy", "me", NOW, NOW + 45)

    everyone = ["slow", "failing", "other", "busy"]
    await db.write(tables.tenant_sync.messages_arrived, NOW, everyone)

    assert await due(db, tables) == ["slow"]
    found = await db.read(lambda c: tables.tenant_sync.select(c, tenant_id=EVERY_TENANT))
    rows = {r["tenant_id"]: r["idle_calls"] for r in found}
    assert rows == {"slow": 0, "failing": 0, "other": 0, "busy": HANDED_OVER}


async def test_what_was_put_off_does_not_slow_the_search_for_what_is_new(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_tenant(db, tables, "t")
    await make_events(db, tables, "t", account, 20)
    plans: list[str] = []

    def explain(connection: Connection) -> None:
        asked: list[tuple[str, Any]] = []

        def listen(_c: Any, _k: Any, statement: str, values: Any, *_: Any) -> None:
            asked.append((statement, values))

        event.listen(connection, "before_cursor_execute", listen)
        tables.tenant_sync.due(connection, NOW, False)
        tables.events.unreported(connection, "t", NOW, 10)
        event.remove(connection, "before_cursor_execute", listen)
        for statement, values in asked:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.append("\n".join(row[3] for row in rows))

    if db.adapter.name != "sqlite":
        return  # PostgreSQL plans by table statistics, which tests do not have
    await db.read(explain)

    assert len(plans) == 2
    for plan in plans:
        assert "ix_message_event_fresh (tenant_id=?" in plan
        assert "ix_message_event_put_off (tenant_id=? AND report_after>? AND report_after<?" in plan
        assert "SCAN e\n" not in plan
        assert "SCAN message" not in plan


async def test_one_look_takes_no_more_events_than_fit_into_a_call(
    db: SqlDb, tables: Tables
) -> None:
    account = await make_tenant(db, tables, "t")
    pks = await add_messages(db, tables, "t", account, [f"m{n}" for n in range(10)])
    large = [NewEvent(pk, "t", account, "sent", NOW, {"response": "x" * 1_000_000}) for pk in pks]
    await db.write(tables.events.append, large)
    found = await db.read(tables.events.unreported, "t", NOW, 1000)
    assert len(found) == 4
    assert is_cut(found)
    await db.write(tables.events.acknowledge, "t", found, NOW)
    rest = await db.read(tables.events.unreported, "t", NOW, 2)
    assert not {event.seq for event in rest} & {event.seq for event in found}
    assert len(rest) == 2
    assert not is_cut(rest)
