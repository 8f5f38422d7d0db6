"""What each outcome makes of a message"""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.delivery.given import NOW, message

from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.outcome import (
    AccountTrouble,
    Deferred,
    Failed,
    Outcome,
    RecipientResult,
    RecipientStatus,
    Sent,
    Uncertain,
)
from mail_proxy.domain.retry import RetryStrategy
from mail_proxy.sql.messages.queue import StateChange

RETRY = RetryStrategy((60, 300), 2, random=lambda: 0.0)
SETTLEMENT = Settlement(RETRY, longest_wait_seconds=360)


def result(name: str, status: str) -> RecipientResult:
    code = {"sent": 250, "deferred": 450, "failed": 550}[status]
    return RecipientResult(f"{name}@x", RecipientStatus(status), code, status)


def record(name: str, status: str) -> dict[str, Any]:
    found = result(name, status)
    return {"address": found.address, "status": status, "code": found.code, "response": status}


def sent(**names: str) -> Sent:
    return Sent(tuple(result(n, s) for n, s in names.items()), 250, "ok")


def told(change: StateChange) -> dict[str, str]:
    """Statuses in the event, by name."""
    assert change.event is not None
    found = change.event.data.get("recipients") or []
    return {r["address"].partition("@")[0]: r["status"] for r in found}


@pytest.mark.parametrize(
    ("outcome", "state", "event", "retries", "due_in"),
    [
        (sent(a="sent"), "sent", "sent", 0, -5),
        (sent(a="sent", b="failed"), "sent", "sent", 0, -5),
        (sent(a="sent", b="deferred"), "deferred", "sent", 0, 60),
        (Deferred("later", 451), "deferred", "deferred", 1, 60),
        (Failed("never", 554), "error", "error", 0, -5),
        (Uncertain("uncertain: lost"), "deferred", "deferred", 1, 60),
    ],
)
def test_the_first_attempt(
    outcome: Outcome, state: str, event: str, retries: int, due_in: float
) -> None:
    change = SETTLEMENT.settle(message(), outcome, NOW)
    assert change.event is not None
    assert (change.state, change.event.event_type) == (state, event)
    assert (change.retries, change.due_at, change.state_at) == (retries, NOW + due_in, NOW)
    assert (change.pk, change.claimed_by) == ("pk", "me")


@pytest.mark.parametrize(("retries", "delay"), [(0, 60), (1, 300), (2, None), (7, None)])
def test_retries_follow_the_schedule_to_its_end(retries: int, delay: float | None) -> None:
    change = SETTLEMENT.settle(message(retries=retries), Deferred("busy", 450), NOW)
    assert change.event is not None
    if delay is None:
        assert change.state == "error"
        assert change.error == "Max retries (2) exceeded: busy"
        assert change.event.data == {"code": 450, "error": change.error}
    else:
        assert (change.state, change.due_at, change.retries) == (
            "deferred",
            NOW + delay,
            retries + 1,
        )
        assert change.event.data["retry_ts"] == NOW + delay


def test_only_those_that_were_put_off_are_left_and_all_answers_are_kept() -> None:
    change = SETTLEMENT.settle(message(), sent(a="sent", b="deferred", c="failed"), NOW)
    assert change.recipients_left == ["b@x"]
    assert told(change) == {"a": "sent", "b": "deferred", "c": "failed"}

    again = message(
        retries=1,
        recipients_left=change.recipients_left,
        recipient_results=change.recipient_results,
    )
    done = SETTLEMENT.settle(again, sent(b="sent"), NOW)
    assert (done.state, done.recipients_left) == ("sent", None)
    assert told(done) == {"a": "sent", "b": "sent", "c": "failed"}

    refused = SETTLEMENT.settle(again, Failed("no", 550, (result("b", "failed"),)), NOW)
    assert (refused.state, refused.error) == ("sent", "no")
    assert told(refused) == {"a": "sent", "b": "failed", "c": "failed"}

    last = message(retries=2, recipients_left=["b@x"], recipient_results=change.recipient_results)
    gone = SETTLEMENT.settle(last, Deferred("busy", 450, (result("b", "deferred"),)), NOW)
    assert gone.state == "sent"
    assert told(gone) == {"a": "sent", "b": "failed", "c": "failed"}


def test_a_retry_that_says_nothing_about_recipients_keeps_who_is_left() -> None:
    partly = message(recipients_left=["b@x"], recipient_results=[record("a", "sent")])
    change = SETTLEMENT.settle(partly, Deferred("connection lost"), NOW)
    assert change.recipients_left == ["b@x"]
    assert change.recipient_results == [record("a", "sent")]


@pytest.mark.parametrize("kind", [Deferred, Uncertain])
def test_who_was_refused_for_good_is_not_tried_again(kind: Any) -> None:
    recipients = (result("a", "failed"), result("b", "deferred"))
    change = SETTLEMENT.settle(message(), kind("reason", recipients=recipients), NOW)
    assert (change.state, change.recipients_left) == ("deferred", ["b@x"])
    assert told(change) == {"a": "failed", "b": "deferred"}


def test_an_uncertain_end_is_marked_whatever_comes_of_it() -> None:
    for settlement, state in ((SETTLEMENT, "deferred"), (Settlement(RETRY, "hold"), "error")):
        change = settlement.settle(message(), Uncertain("uncertain: lost"), NOW)
        assert change.event is not None
        assert (change.state, change.error) == (state, "uncertain: lost")
        assert change.event.data["uncertain"] is True


def test_trouble_of_the_account_costs_no_attempt_until_it_has_lasted_too_long() -> None:
    trouble = AccountTrouble("auth", "AUTH refused: 535 no", 535)
    long_ago = NOW - 361
    young = SETTLEMENT.wait_for_account(message(), trouble, NOW + 30, long_ago, NOW)
    assert (young.state, young.retries, young.error) == ("deferred", 0, trouble.reason)
    assert young.event is not None
    assert young.event.data["retry_ts"] == NOW + 30
    old = message(due_at=long_ago, created_at=long_ago)
    assert SETTLEMENT.wait_for_account(old, trouble, NOW, long_ago, NOW).state == "error"
    assert SETTLEMENT.wait_for_account(old, trouble, NOW, NOW - 10, NOW).state == "deferred"
    scheduled = message(due_at=NOW - 1, created_at=NOW - 1e6)
    assert SETTLEMENT.wait_for_account(scheduled, trouble, NOW, long_ago, NOW).state == "deferred"


def test_what_expires_before_its_next_attempt_is_due_when_it_expires() -> None:
    change = SETTLEMENT.settle(message(expires_at=NOW + 10), Deferred("busy"), NOW)
    assert change.due_at == NOW + 10


def test_giving_up_ends_in_error_unless_somebody_has_it() -> None:
    assert SETTLEMENT.give_up(message(), "expired", NOW).state == "error"
    partly = message(recipients_left=["b@x"], recipient_results=[record("a", "sent")])
    assert SETTLEMENT.give_up(partly, "expired", NOW).state == "sent"


def test_a_reason_of_any_length_is_stored_short() -> None:
    change = SETTLEMENT.settle(message(), Failed("x" * 100_000), NOW)
    assert change.error is not None
    assert len(change.error) <= 1000


def test_an_attempt_that_the_loss_of_the_lease_ended_counts_and_is_due_at_once() -> None:
    begun = message(retries=0)
    change = SETTLEMENT.broken_off(begun, NOW)
    assert (change.state, change.retries, change.due_at) == ("deferred", 1, begun.due_at)


def test_no_message_comes_round_more_often_than_it_may_be_retried() -> None:
    change = SETTLEMENT.broken_off(message(retries=2), NOW)
    assert change.state == "error"
    assert change.error is not None
    assert change.error.startswith("Max retries (2) exceeded: broken off")
    assert not SETTLEMENT.is_exhausted(message(retries=2))
    assert SETTLEMENT.is_exhausted(message(retries=3))
