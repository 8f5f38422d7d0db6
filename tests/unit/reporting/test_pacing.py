"""When a tenant is called next."""

from __future__ import annotations

from typing import Any

import pytest

from mail_proxy.reporting.pacing import after_answer, after_failure, is_due, put_off_seconds
from mail_proxy.wire.reports import SyncAnswer

NOW = 1_800_000_000.0
INTERVAL = 300.0


def row(**values: Any) -> dict[str, Any]:
    fresh = {"next_due_at": NOW, "quiet_until": None, "failures": 0, "idle_calls": 0}
    return {**fresh, **values}


@pytest.mark.parametrize(
    ("sync", "events", "active", "due"),
    [
        (row(), False, True, True),
        (row(next_due_at=NOW + 1), False, True, False),
        (row(next_due_at=NOW + 1), True, True, True),
        (row(next_due_at=NOW + 1, failures=1), True, True, False),
        (row(failures=1), True, True, True),
        (row(quiet_until=NOW + 1), False, True, False),
        (row(quiet_until=NOW + 1), True, True, True),
        (row(quiet_until=NOW), False, True, True),
        (row(), False, False, False),
        (row(), True, False, True),
    ],
)
def test_due(sync: dict[str, Any], events: bool, active: bool, due: bool) -> None:
    assert is_due(sync, NOW, events, active) is due


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_good_answer_starts_the_interval_anew(chance: float) -> None:
    changes = after_answer(row(failures=3), SyncAnswer(), NOW, INTERVAL, chance)
    assert changes == {
        "last_sync_at": NOW,
        "last_error": None,
        "failures": 0,
        "idle_calls": 0,
        "next_due_at": NOW + INTERVAL * (1 - chance / 10),
    }


def test_announcements_without_messages_slow_down_to_the_interval() -> None:
    delays, idle = [], 0
    for _ in range(12):
        changes = after_answer(row(idle_calls=idle), SyncAnswer(queued=1), NOW, INTERVAL, 0.5)
        idle = changes["idle_calls"]
        delays.append(changes["next_due_at"] - NOW)
    assert delays == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert after_answer(row(idle_calls=-1), SyncAnswer(queued=1), NOW, INTERVAL, 0) == {
        "last_sync_at": NOW,
        "last_error": None,
        "failures": 0,
        "idle_calls": 0,
        "next_due_at": NOW,
    }


def test_do_not_disturb_is_set_replaced_and_capped() -> None:
    def quiet(answer: SyncAnswer) -> Any:
        return after_answer(row(), answer, NOW, INTERVAL, 0).get("quiet_until", "unchanged")

    assert quiet(SyncAnswer()) == "unchanged"
    assert quiet(SyncAnswer(next_sync_after=NOW + 60)) == NOW + 60
    assert quiet(SyncAnswer(next_sync_after=0)) == 0
    assert quiet(SyncAnswer(next_sync_after=1e15)) == NOW + 365 * 86_400


def test_failures_double_the_delay_up_to_the_interval() -> None:
    delays = [
        after_failure(row(failures=n), "HTTP 500", NOW, INTERVAL, 0)["next_due_at"] - NOW
        for n in (0, 1, 2, 5, 6, 10_000)
    ]
    assert delays == [5, 10, 20, 160, 300, 300]
    spread = after_failure(row(), "HTTP 500", NOW, INTERVAL, 1)
    assert spread == {"last_error": "HTTP 500", "failures": 1, "next_due_at": NOW + 4.5}
    for asked, waited in ((1, 5), (400, 400), (1e9, 3600)):
        assert (
            after_failure(row(), "HTTP 429", NOW, INTERVAL, 0, asked)["next_due_at"] == NOW + waited
        )
    assert after_failure(row(), "x", NOW, 2.0, 0)["next_due_at"] == NOW + 2


def test_refused_events_wait_longer_each_time() -> None:
    assert [put_off_seconds(n, INTERVAL) for n in (0, 1, 2, 3, 10_000)] == [60, 120, 240, 300, 300]
    assert put_off_seconds(0, 10.0) == 10
