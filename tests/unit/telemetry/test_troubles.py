"""When a lasting trouble is logged."""

from __future__ import annotations

import pytest

from mail_proxy.telemetry.troubles import REMINDER_SECONDS, Troubles
from mail_proxy.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def troubles(clock: FakeClock) -> Troubles:
    return Troubles(clock.monotonic)


def test_a_trouble_is_logged_when_it_begins_and_every_few_minutes(
    clock: FakeClock, troubles: Troubles
) -> None:
    logged = 0
    for _ in range(int(2 * REMINDER_SECONDS)):
        logged += troubles.is_due("a")
        clock.advance(1)
    assert logged == 2
    assert troubles.end("a") == 2 * REMINDER_SECONDS
    assert troubles.end("a") is None


def test_troubles_with_different_keys_do_not_silence_each_other(troubles: Troubles) -> None:
    assert [troubles.is_due(key) for key in "abab"] == [True, True, False, False]
    assert troubles.end("c") is None


def test_one_that_comes_and_goes_is_logged_twice_a_minute_at_most(
    clock: FakeClock, troubles: Troubles
) -> None:
    begun = ended = 0
    for _ in range(600):
        begun += troubles.is_due("a")
        clock.advance(0.5)
        ended += troubles.end("a") is not None
        clock.advance(0.5)
    assert begun == ended == 20


def test_one_that_stays_after_a_short_end_is_logged_a_little_later(
    clock: FakeClock, troubles: Troubles
) -> None:
    assert troubles.is_due("a")
    troubles.end("a")
    clock.advance(5)
    assert not troubles.is_due("a")
    clock.advance(30)
    assert troubles.is_due("a")
    clock.advance(1)
    assert troubles.end("a") == 31


def test_one_that_begins_anew_is_logged_before_the_reminder(
    clock: FakeClock, troubles: Troubles
) -> None:
    assert troubles.is_due("a", has_just_begun=True)
    clock.advance(60)
    assert not troubles.is_due("a")
    assert troubles.is_due("a", has_just_begun=True)


def test_the_number_of_known_troubles_is_bounded(troubles: Troubles) -> None:
    assert troubles.is_due("first")
    for number in range(10_000):
        troubles.is_due(str(number))
    assert troubles.end("first") is None
    assert troubles.end("9999") == 0
