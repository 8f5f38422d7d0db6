"""Rows that were written while the wall clock was an hour ahead."""

from __future__ import annotations

from functools import partial

from tests.harness.rows import add_event, add_messages, add_tenant

from mail_proxy.domain.limits import HOUR, MINUTE, bucket_at
from mail_proxy.kit.ids import uuid7
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.clock_repair import AFTER_ALL_MESSAGES, after_all_events
from mail_proxy.sql.tables import Tables

#: The builders' rows are stamped with this time.
AHEAD = 1_800_000_000.0
NOW = AHEAD - 3600
INTERVAL = 300.0


async def mend(db: SqlDb, tables: Tables) -> int:
    """In slices of two events, so that there are several."""
    changed, before = 0, await db.read(after_all_events)
    while before is not None:
        more, before = await db.write(tables.clock_repair.messages, NOW, before, 2)
        changed += more
    pk: str | None = AFTER_ALL_MESSAGES
    while pk is not None:
        more, pk = await db.write(tables.clock_repair.taken_in, NOW, pk, 2)
        changed += more
    changed += await db.write(tables.clock_repair.others, NOW, INTERVAL)
    return changed + await db.write(tables.rate_use.repair, NOW)


async def run(db: SqlDb, statement: str) -> list[tuple[object, ...]]:
    def work(connection: Connection) -> list[tuple[object, ...]]:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []

    return await db.write(work)


async def test_messages_wait_no_longer_than_they_were_meant_to(db: SqlDb, tables: Tables) -> None:
    account = await add_tenant(db, tables, "t")
    await add_messages(db, tables, "t", account, ["scheduled before"])
    await run(db, f"UPDATE message_event SET event_at = {NOW - 60}")
    await run(db, f"UPDATE message SET created_at = {NOW - 60}, due_at = {AHEAD + 60}")
    ids = ["due", "held", "scheduled", "retry", "claimed", "requeued", "sent"]
    pks = dict(zip(ids, await add_messages(db, tables, "t", account, ids), strict=True))
    dispatcher = uuid7()
    for id_, change in {
        "held": "held = true, batch_code = 'b'",
        "scheduled": f"due_at = {AHEAD + 60}",
        "retry": f"state = 'deferred', retries = 1, state_at = {AHEAD}, due_at = {AHEAD + 60}",
        "claimed": f"state = 'sending', claimed_by = '{dispatcher}'",
        "requeued": f"due_at = {AHEAD + 100}",
        "sent": f"state = 'sent', state_at = {AHEAD}",
    }.items():
        await run(db, f"UPDATE message SET {change} WHERE id = '{id_}'")
    await add_event(db, tables, "t", [pks["retry"]], "deferred", at=AHEAD)
    await add_event(db, tables, "t", [pks["requeued"]], "queued", at=AHEAD + 100)

    assert await mend(db, tables) == 5
    due = dict(await run(db, "SELECT id, due_at FROM message"))
    assert due == {
        "scheduled before": AHEAD + 60,
        "due": NOW,
        "held": NOW,
        "scheduled": AHEAD + 60,
        "retry": NOW + 60,
        "claimed": NOW,
        "requeued": NOW,
        "sent": AHEAD,
    }
    assert await mend(db, tables) == 0


async def test_accounts_reports_and_calls_neither(db: SqlDb, tables: Tables) -> None:
    await add_tenant(db, tables, "t")
    account = await add_tenant(db, tables, "u")
    pks = await add_messages(db, tables, "u", account, ["m"])
    await db.write(partial(tables.health.trouble, probe=False), account, "no", AHEAD)
    await add_event(db, tables, "u", pks)
    await run(db, f"UPDATE message_event SET report_after = {AHEAD + 60} WHERE event_type = 'sent'")
    await run(
        db,
        "INSERT INTO tenant_sync (tenant_id, next_due_at, quiet_until, claimed_by, claimed_until) "
        f"VALUES ('u', {AHEAD + 60}, {AHEAD + 60}, 'dead', {AHEAD + 60})",
    )

    await mend(db, tables)
    ((since, retry),) = await run(db, "SELECT since_at, retry_at FROM account_health")
    assert since == NOW
    assert isinstance(retry, float)
    assert NOW + 30 <= retry <= NOW + 33
    (event,) = await run(db, "SELECT max(report_after) FROM message_event")
    assert event == (NOW + INTERVAL,)
    (sync,) = await run(db, "SELECT next_due_at, claimed_until, quiet_until FROM tenant_sync")
    # Do-not-disturb is a time that the application has named.
    assert sync == (NOW + INTERVAL, NOW + INTERVAL, AHEAD + 60)
    assert await mend(db, tables) == 0


async def test_what_was_used_of_a_rate_limit_stays_used_for_one_window(
    db: SqlDb, tables: Tables
) -> None:
    counts = {
        ("account:a", MINUTE, bucket_at(MINUTE, AHEAD)): 3,
        ("account:a", MINUTE, bucket_at(MINUTE, AHEAD - 1)): 4,
        ("account:a", MINUTE, bucket_at(MINUTE, NOW)): 5,
        ("account:a", HOUR, bucket_at(HOUR, AHEAD)): 6,
    }
    await db.write(tables.rate_use.count, counts)
    assert await mend(db, tables) == 3
    rows = await run(db, "SELECT window_seconds, bucket_at, used FROM rate_use ORDER BY 1")
    assert rows == [(MINUTE, bucket_at(MINUTE, NOW), 12), (HOUR, bucket_at(HOUR, NOW), 6)]
    assert await mend(db, tables) == 0
