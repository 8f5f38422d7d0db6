"""Which outcomes are logged without the setting log_delivery_activity."""

from __future__ import annotations

import pytest
from tests.database.test_queue import change, claim, make_account, new, register
from tests.harness.log_lines import lines

from mail_proxy.config import ConcurrencyConfig
from mail_proxy.delivery.outcome_log import OutcomeLog
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.messages.queue import ClaimedMessage
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.troubles import REMINDER_SECONDS
from mail_proxy.testing.clock import FakeClock


class Given:
    """Two messages of two accounts, ``a`` and ``b``, and a log of outcomes."""

    def __init__(self, directory: Directory, messages: list[ClaimedMessage]) -> None:
        self.clock = FakeClock()
        self.log = OutcomeLog(directory, enabled=False, monotonic=self.clock.monotonic)
        self.messages = messages

    def outcome(self, state: str, message: int = 0) -> None:
        claimed = self.messages[message]
        self.log.log_outcome(claimed, change(claimed, state, error="no such user"))


@pytest.fixture
async def given(db: SqlDb, tables: Tables) -> Given:
    accounts = [await make_account(db, tables, account=id_) for id_ in "ab"]
    await db.write(tables.messages.add, [new(pk, f"m{n}") for n, pk in enumerate(accounts)])
    directory = Directory(db, tables, ConcurrencyConfig())
    await db.write(tables.instance.ensure, "test", 0.0)
    await directory.current()
    claimed = await db.write(claim(tables, accounts, await register(db, tables)))
    return Given(directory, sorted(claimed, key=lambda message: message.id))


async def test_only_messages_that_are_given_up_are_logged(
    given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    for state in ("sent", "deferred", "error"):
        given.outcome(state)
    message = given.messages[0]
    assert lines(caplog, "message.error") == [
        {
            "tenant_id": "t",
            "account_id": "a",
            "message_id": "m0",
            "message_pk": message.pk,
            "reason": "no such user",
        }
    ]
    assert [r.levelname for r in caplog.records if "message." in str(r.msg)] == ["WARNING"]


async def test_of_very_many_the_first_have_a_line_each_and_the_others_one_together(
    given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        given.outcome("error")
    given.outcome("error", message=1)
    assert len(lines(caplog, "message.error")) == 21
    given.log.summarize()
    assert lines(caplog, "messages.given_up") == []
    given.clock.advance(REMINDER_SECONDS)
    given.log.summarize()
    given.log.summarize()
    expected = {
        "tenant_id": "t",
        "account_id": "a",
        "messages": 980,
        "reason": "too many to log one by one",
    }
    assert lines(caplog, "messages.given_up") == [expected]
    given.outcome("error")
    assert len(lines(caplog, "message.error")) == 22


async def test_none_is_left_out_at_a_stop(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(21):
        given.outcome("error")
    given.log.summarize(is_last=True)
    assert [line["messages"] for line in lines(caplog, "messages.given_up")] == [1]
