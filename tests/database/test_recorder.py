"""Outcomes are written in groups, and a bad one does not spoil the others."""

from __future__ import annotations

import asyncio

import pytest
from tests.database.test_queue import NOW, change, claim, make_account, new, register

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.facts import OutcomesRecorded
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.delivery.outcome_log import OutcomeLog
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.kit.bus import Bus
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.tables import Tables


class Given:
    """A recorder, claimed messages, and the pks that it has published."""

    def __init__(self, db: SqlDb, tables: Tables, messages: list[ClaimedMessage]) -> None:
        directory = Directory(db, tables, ConcurrencyConfig())
        bus = Bus()
        bus.subscribe(OutcomesRecorded, self._recorded)
        self.messages = messages
        self.published: list[str] = []
        self.recorder = OutcomeRecorder(
            db,
            tables.queue,
            RateLimiter(tables.rate_use, directory),
            OutcomeLog(directory, enabled=False),
            bus,
        )

    def _recorded(self, fact: OutcomesRecorded) -> None:
        self.published += [each.pk for each in fact.changes]


@pytest.fixture
async def given(db: SqlDb, tables: Tables) -> Given:
    account = await make_account(db, tables)
    await db.write(tables.messages.add, [new(account, f"m{n}") for n in range(120)])
    me = await register(db, tables)
    return Given(db, tables, await db.write(claim(tables, [account], me, limit=120)))


async def states(db: SqlDb, tables: Tables, messages: list[ClaimedMessage]) -> set[str]:
    found = await db.read(tables.messages.states, [("t", m.id) for m in messages])
    return {str(state) for state in found.values()}


async def test_few_outcomes_are_written_behind_and_many_are_waited_for(
    db: SqlDb, tables: Tables, given: Given
) -> None:
    for message in given.messages[:100]:
        # Does not wait, so the loop does not turn, and nothing is written yet.
        await given.recorder.settle(message, change(message))
    assert not given.published
    assert not given.recorder.is_full
    last = given.messages[100]
    await given.recorder.settle(last, change(last))
    assert last.pk in given.published
    await given.recorder.drained()
    assert len(given.published) == 101
    assert await states(db, tables, given.messages[:101]) == {"sent"}


async def test_an_outcome_that_cannot_be_written_is_left_out_alone(
    db: SqlDb, tables: Tables, given: Given
) -> None:
    good, bad = given.messages[:9], given.messages[9]
    async with asyncio.TaskGroup() as together:
        for message in (*good[:4], bad, *good[4:]):
            reason = "surrogate \ud800" if message is bad else None
            together.create_task(given.recorder.settle(message, change(message, error=reason)))
    await given.recorder.drained()
    assert sorted(given.published) == sorted(m.pk for m in good)
    assert await states(db, tables, good) == {"sent"}
    assert await states(db, tables, [bad]) == {"sending"}


async def test_an_outcome_whose_claim_was_lost_is_not_published(
    db: SqlDb, tables: Tables, given: Given
) -> None:
    lost, kept = given.messages[:2]
    await given.recorder.give_back([lost])
    deferred = change(lost, "deferred", due_at=NOW + 60)
    await given.recorder.settle(lost, deferred)
    await given.recorder.settle(kept, change(kept))
    await given.recorder.drained()
    assert given.published == [kept.pk]
    assert await states(db, tables, [lost]) == {"pending"}
