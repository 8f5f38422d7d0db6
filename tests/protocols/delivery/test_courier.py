"""A courier that is cancelled, or fails, lets go of every message that it has in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

import pytest
from tests.database.test_queue import claim, make_account, new

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.courier import Courier
from mail_proxy.delivery.failure_shares import FailureShares
from mail_proxy.delivery.fair_semaphore import FairSemaphore
from mail_proxy.delivery.health import AccountHealth
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.lane_burst import LaneBurst
from mail_proxy.delivery.lease import Lease
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.delivery.outcome_log import OutcomeLog
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.permit import SendPermit
from mail_proxy.delivery.pipeline import Outgoing, Pipeline, preparing_steps
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.domain.outcome import Failed, Outcome, RecipientResult, RecipientStatus
from mail_proxy.domain.retry import RetryStrategy
from mail_proxy.kit.bus import Bus
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.replies import Reply
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.mail_codec import dump_mail
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer

ANN, BOB = "ann@example.org", "bob@example.org"


class Given:
    """A courier with one connection, and its claimed messages ``m`` and ``n``."""

    async def open(self, db: SqlDb, tables: Tables, server: ScriptedSmtpServer) -> None:
        self.db, self.tables, self.clock = db, tables, FakeClock()
        clock = self.clock
        await db.write(tables.instance.ensure, "test", clock.now())
        account_pk = await make_account(db, tables)
        recipients = (Address("", ANN), Address("", BOB))
        mail = Mail(Address("", "shop@example.com"), recipients, (), (), "s", "b", "plain", "<1@x>")
        rows = [new(account_pk, id_, content=dump_mail(mail)) for id_ in "mn"]
        await db.write(tables.messages.add, rows)
        self.reached = asyncio.Event()
        self.result: asyncio.Future[Outcome | None] | None = None
        directory = Directory(db, tables, ConcurrencyConfig())
        snapshot = await directory.current()
        limiter = RateLimiter(tables.rate_use, directory)
        self.lease = Lease(db, tables.queue, limiter, clock, 60)
        await self.lease.keep()
        self.messages = await db.write(claim(tables, [account_pk], self.lease.dispatcher_id))
        settlement, bus = Settlement(RetryStrategy()), Bus()
        outcome_log = OutcomeLog(directory, enabled=False)
        self.recorder = OutcomeRecorder(db, tables.queue, limiter, outcome_log, bus)
        steps = preparing_steps({"signing": [self._step]})
        pipeline = Pipeline(steps, FairSemaphore(5), SmtpSender(SMTPPool()))
        permit = SendPermit(self.lease, directory, clock)
        metrics = OutcomeMetrics(MailMetrics(), directory)
        health = AccountHealth(
            tables, self.recorder, settlement, metrics, bus, FailureShares(FakeClock())
        )
        courier = Courier(permit, pipeline, settlement, self.recorder, health, clock)
        account = snapshot.accounts[account_pk]
        login = replace(account.login, host=server.host, port=server.port, max_connections=1)
        account = replace(account, login=login)
        self.lane = Lane(account, courier.carry, lambda: None, clock)
        self.burst = LaneBurst(self.lane, pipeline, permit, settlement, self.recorder, clock)

    async def trouble(self, account_pk: str) -> None:
        now = self.clock.now()
        trouble = self.tables.health.trouble
        await self.db.write(lambda c: trouble(c, account_pk, "no route", now, probe=False))

    def _step(self, outgoing: Outgoing) -> Awaitable[Outcome | None] | None:
        if outgoing.message.id != "n":
            return None
        self.reached.set()
        return self.result


@pytest.fixture
async def given(db: SqlDb, tables: Tables, server: ScriptedSmtpServer) -> Given:
    given = Given()
    await given.open(db, tables, server)
    return given


async def test_a_mail_that_waits_for_its_preparation_is_let_go_with_the_one_before_it(
    given: Given, server: ScriptedSmtpServer
) -> None:
    server.on("end of data", Act.SILENCE)
    given.result = asyncio.get_running_loop().create_future()
    for message in given.messages:
        given.lane.add(message)
    await given.reached.wait()
    given.lane.cancel()
    await given.lane.finish()
    assert (given.lane.load, given.lane.size) == (0, 0)


async def test_a_worker_that_is_cancelled_begins_no_other_message(
    given: Given, server: ScriptedSmtpServer
) -> None:
    server.on("DATA", Act.SILENCE)
    for message in given.messages:
        given.lane.add(message)
    await server.wait_until(lambda: (1, "DATA") in server.commands)
    given.lane.cancel()
    await given.lane.finish()
    assert not given.reached.is_set()
    assert given.lane.load == 1


async def test_recipients_who_have_a_mail_do_not_get_it_again_after_an_error_of_the_proxy(
    given: Given,
) -> None:
    given.lane.add(given.messages[0])
    message = given.lane.take()
    assert message is not None
    given.burst.admit(message)
    envelope = given.burst.next()
    assert envelope is not None
    envelope.settle([RecipientResult(ANN, RecipientStatus.SENT, 250, "ok")], Reply(250, "ok"))
    given.burst.close(ValueError("the second session"))
    await given.recorder.drained()
    await given.lease.give_up()
    due = given.tables.queue.due
    waiting = await given.db.write(due, [message.account_pk], message.priority, 2e9, 10)
    left = {each.id: each.recipients_left for each in waiting}
    assert left == {"m": [BOB], "n": None}


async def test_a_probe_that_asked_no_server_is_followed_by_another_at_once(given: Given) -> None:
    given.result = asyncio.get_running_loop().create_future()
    given.result.set_result(Failed("cannot be prepared"))
    message = given.messages[1]
    await given.trouble(message.account_pk)
    given.lane.note_probe(is_probe=True)
    given.lane.add(message)
    await given.lane.finish()
    await given.recorder.drained()
    troubled = await given.db.read(given.tables.health.of_accounts, [message.account_pk])
    assert troubled[message.account_pk]["retry_at"] == given.clock.now()
