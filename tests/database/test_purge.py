"""Removing what was reported long ago: exactly that, and at its own cost."""

from __future__ import annotations

from typing import Any

import pytest
from tests.database.plans import plans, whole_scans
from tests.harness.rows import add_event, add_messages, add_tenant

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.maintenance.retention import Retention
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.events import PendingEvent
from mail_proxy.sql.messages.purge import MessagePurge, Position
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables
from mail_proxy.testing.clock import FakeClock

NOW = 1_800_000_000.0
DAY = 86_400.0
WEEK = 7 * DAY


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def retention(db: SqlDb, tables: Tables, clock: FakeClock) -> Retention:
    return Retention(db, tables, Directory(db, tables, ConcurrencyConfig()), clock, 1000)


class Story:
    """Writes messages of one tenant and what happened to them."""

    def __init__(self, db: SqlDb, tables: Tables, tenant: str = "t") -> None:
        self._db = db
        self._tables = tables
        self._tenant = tenant
        self._account = ""

    async def begin(self, **columns: Any) -> None:
        self._account = await add_tenant(self._db, self._tables, self._tenant, **columns)

    async def messages(self, *ids: str, state: str = "sent") -> list[str]:
        pks = await add_messages(self._db, self._tables, self._tenant, self._account, ids)
        for pk in pks:
            await self._db.write(self._tables.messages.update, self._named(pk), {"state": state})
        return pks

    def _named(self, pk: str) -> dict[str, str]:
        return {"pk": pk, "tenant_id": self._tenant}

    async def happened(self, pks: list[str], kind: str, reported_at: float | None) -> None:
        await add_event(self._db, self._tables, self._tenant, pks, kind)
        if reported_at is not None:
            events = [await self._db.read(self._last, pk) for pk in pks]
            await self._db.write(self._tables.events.acknowledge, self._tenant, events, reported_at)

    async def left(self) -> list[str]:
        rows = await self._db.read(
            lambda c: self._tables.messages.select(c, tenant_id=self._tenant)
        )
        return sorted(row["id"] for row in rows)

    def _last(self, connection: Connection, pk: str) -> PendingEvent:
        row = self._tables.events.of_message(connection, self._tenant, pk)[-1]
        kind, at = row["event_type"], row["event_at"]
        return PendingEvent(row["seq"], pk, "", self._account, "a", kind, at, {}, 0)


@pytest.fixture
async def story(db: SqlDb, tables: Tables) -> Story:
    story = Story(db, tables)
    await story.begin()
    return story


async def test_finished_messages_go_a_week_after_their_last_report(
    story: Story, retention: Retention, clock: FakeClock, db: SqlDb, tables: Tables
) -> None:
    old, failed = await story.messages("old"), await story.messages("failed", state="error")
    await story.happened(old, "sent", NOW - WEEK - 1)
    await story.happened(failed, "error", NOW - WEEK - 1)
    young = await story.messages("young")
    await story.happened(young, "deferred", NOW - WEEK - 1)
    await story.happened(young, "sent", NOW - WEEK + 1)
    untold = await story.messages("untold")
    await story.happened(untold, "deferred", NOW - WEEK - 1)
    await story.happened(untold, "sent", None)
    waiting = await story.messages("waiting", state="deferred")
    await story.happened(waiting, "deferred", NOW - WEEK - 1)
    await story.messages("eventless")

    assert await retention.remove_messages() == 2
    assert await story.left() == ["eventless", "untold", "waiting", "young"]
    clock.advance(2)
    assert await retention.remove_messages() == 1
    assert await story.left() == ["eventless", "untold", "waiting"]

    payloads, events = await db.read(_rest)
    assert payloads == 3
    assert events == 3


async def test_what_was_passed_over_is_found_again_by_its_later_report(
    story: Story, retention: Retention, clock: FakeClock, db: SqlDb
) -> None:
    pks = await story.messages("m")
    await story.happened(pks, "deferred", NOW - 2 * WEEK)
    await story.happened(pks, "sent", None)
    assert await retention.remove_messages() == 0
    await story.happened(pks, "bounce", NOW)
    clock.advance(WEEK + 1)
    assert await retention.remove_messages() == 0
    await db.write(_report_everything, clock.now())
    clock.advance(WEEK + 1)
    assert await retention.remove_messages() == 1


async def test_each_tenant_has_its_own_retention(
    db: SqlDb, tables: Tables, retention: Retention
) -> None:
    stories = {}
    for name, seconds in (("hour", 3600), ("zero", 0), ("usual", None)):
        stories[name] = Story(db, tables, name)
        await stories[name].begin(retention_seconds=seconds)
        pks = await stories[name].messages("old", "new")
        await stories[name].happened(pks[:1], "sent", NOW - 3601)
        await stories[name].happened(pks[1:], "sent", NOW - 1)
    assert await retention.remove_messages() == 3
    left = {name: await story.left() for name, story in stories.items()}
    assert left == {"hour": ["new"], "zero": [], "usual": ["new", "old"]}


async def test_thousands_with_one_report_time_go_slice_by_slice(
    story: Story, retention: Retention, db: SqlDb, tables: Tables
) -> None:
    pks = await story.messages(*map(str, range(1203)), state="sent")
    for kind in ("deferred", "sent"):
        await add_event(db, tables, "t", pks, kind)
    await db.write(_report_everything, NOW - WEEK - 1)
    assert await retention.remove_messages() == 1203
    assert await story.left() == []


async def test_the_walk_meets_old_reports_only_and_each_of_them_once(
    story: Story, db: SqlDb
) -> None:
    kept = await story.messages("a", "b", state="deferred")
    await story.happened(kept, "deferred", NOW - 10)
    await story.happened(await story.messages("later"), "sent", NOW - 1)
    await story.happened(await story.messages("never"), "sent", None)
    removal = MessagePurge(db)
    met = await db.read(removal.old_reports, "t", NOW - 5, Position(), 10)
    assert [report.message_pk for report in met] == kept
    assert not any(report.is_over for report in met)
    removed, reached = await removal.messages("t", NOW - 5)
    assert removed == 0
    assert reached == met[-1].position
    assert await db.read(removal.old_reports, "t", NOW - 5, reached, 10) == []


async def test_a_message_that_lives_again_is_not_removed(story: Story, db: SqlDb) -> None:
    pks = await story.messages("m", state="pending")
    await story.happened(pks, "error", NOW - WEEK - 1)
    assert await db.write(MessagePurge(db).remove, pks, NOW) == 0
    assert await story.left() == ["m"]


async def test_finding_and_removing_go_by_index(story: Story, db: SqlDb) -> None:
    pks = await story.messages("a", "b")
    await story.happened(pks, "sent", NOW - WEEK - 1)
    removal = MessagePurge(db)
    (tenants,) = await plans(db, removal.with_old_reports, NOW, WEEK)
    (found,) = await plans(db, removal.old_reports, "t", NOW - WEEK, Position(1.0, 1), 10)
    (removed,) = await plans(db, removal.remove, pks, NOW)
    for plan in (tenants, found):
        assert "ix_message_event_reported" in plan
        assert "SCAN e" not in plan
    if db.adapter.name == "sqlite":
        assert "(tenant_id=? AND reported_at>?)" in tenants
        assert "(tenant_id=? AND reported_at>? AND reported_at<?)" in found
    for plan in (found, removed):
        assert "ix_message_event_message_pk_seq" in plan
        assert not whole_scans(plan), plan


async def test_audit_rows_go_after_their_time(
    db: SqlDb, tables: Tables, retention: Retention, clock: FakeClock
) -> None:
    def log(connection: Connection) -> None:
        for number in range(1100):
            at = NOW - 90 * DAY + (-1 if number % 2 else 1)
            row = {"at": at, "endpoint": "x", "actor": "admin", "status": 200}
            tables.command_log.insert(connection, row)

    await db.write(log)
    assert await retention.remove_audit_rows() == 550
    assert await db.read(lambda c: tables.command_log.count(c, tenant_id=EVERY_TENANT)) == 550
    clock.advance(2)
    assert await retention.remove_audit_rows() == 550
    (plan,) = await plans(db, tables.command_log.remove_oldest, NOW, 10)
    assert "ix_command_log_at" in plan
    assert not whole_scans(plan), plan


async def test_a_tenant_cannot_fill_the_audit_log(
    db: SqlDb, tables: Tables, retention: Retention
) -> None:
    def log(connection: Connection) -> None:
        for number in range(1500):
            actor = "admin" if number % 100 == 0 else "tenant:t"
            row = {"at": NOW, "endpoint": "x", "actor": actor, "status": 200, "tenant_id": "t"}
            tables.command_log.insert(connection, row)
        for _ in range(10):
            row = {"at": NOW, "endpoint": "x", "actor": "tenant:u", "status": 200, "tenant_id": "u"}
            tables.command_log.insert(connection, row)

    def count(connection: Connection) -> tuple[int, int, int]:
        found = tables.command_log.select(connection, tenant_id=EVERY_TENANT)
        of_t = [row for row in found if row["tenant_id"] == "t"]
        by_admin = [row for row in of_t if row["actor"] == "admin"]
        return len(of_t), len(by_admin), len(found) - len(of_t)

    await db.write(log)
    assert await retention.remove_audit_rows_beyond_the_quota() == 495
    # 15 entries of the administrator, 5 of which are older than the newest 1000.
    assert await db.read(count) == (1005, 15, 10)
    assert await retention.remove_audit_rows_beyond_the_quota() == 0
    (plan,) = await plans(db, tables.command_log.remove_beyond, "t", 1000, 10)
    assert "ix_command_log_tenant_id_id" in plan
    assert not whole_scans(plan), plan


def _rest(connection: Connection) -> tuple[int, int]:
    return tuple(  # type: ignore[return-value]
        connection.exec_driver_sql(f"SELECT count(*) FROM {table} {where}").scalar()
        for table, where in (
            ("message_payload", ""),
            ("message_event", "WHERE event_type <> 'queued'"),
        )
    )


def _report_everything(connection: Connection, now: float) -> None:
    connection.exec_driver_sql(
        f"UPDATE message_event SET reported_at = {now} "
        "WHERE event_type <> 'queued' AND reported_at IS NULL"
    )


async def test_what_came_to_wait_for_a_removed_account_ends(
    story: Story, retention: Retention, db: SqlDb, tables: Tables
) -> None:
    await db.write(tables.instance.ensure, "test", NOW)
    await story.messages("late", state="deferred")
    other = Story(db, tables, "u")
    await other.begin()
    await other.messages("fine", state="deferred")
    account = await db.read(lambda c: tables.accounts.get(c, tenant_id="t"))
    await db.write(
        tables.accounts.update, {"pk": account["pk"], "tenant_id": "t"}, {"deleted_at": NOW}
    )
    assert await retention.end_orphans() == 1
    row = await db.read(tables.messages.detail, "t", "late")
    assert (row["state"], row["error"]) == ("error", "account deleted")
    assert [e.event_type for e in await db.read(tables.events.unreported, "t", NOW, 9)] == ["error"]
    assert await retention.end_orphans() == 0


async def test_every_duty_can_be_done_on_an_empty_database(retention: Retention) -> None:
    assert [await duty.work() for duty in retention.duties] == [0] * len(retention.duties)
