"""Share of a tenant in connections that fail."""

from __future__ import annotations

from mail_proxy.delivery.failure_shares import MOST_TRIALS, FailureShares
from mail_proxy.testing.clock import FakeClock


def test_a_tenant_whose_accounts_fail_tries_five_each_second_and_others_all() -> None:
    clock = FakeClock()
    shares = FailureShares(clock)
    assert (shares.spent(), shares.next_at) == ({}, None)
    for _ in range(MOST_TRIALS):
        shares.failed("bad")
    assert shares.spent() == {"bad": 0}
    assert shares.next_at == clock.now() + 2
    clock.advance(2)
    assert shares.spent() == {"bad": 10}
    assert shares.next_at is None
    clock.advance(18)
    assert shares.spent() == {}


def test_failures_of_the_past_do_not_add_up_for_more_than_half_a_minute() -> None:
    clock = FakeClock()
    shares = FailureShares(clock)
    for _ in range(10_000):
        shares.failed("bad")
    clock.advance(23)
    assert shares.spent() == {"bad": 10}
