"""What is parted among tenants and accounts is never all gone because of a few."""

from __future__ import annotations

import pytest

from mail_proxy.delivery.fair_budget import FairBudget


def hoard(shares: FairBudget, account: str, tenant: str) -> int:
    """Take all that the account gets, and keep it."""
    while (room := shares.room(account, tenant)) > 0:
        shares.take(account, tenant, room)
    return shares.held(account)


@pytest.mark.parametrize("total", [10, 50, 2000, 10**8])
def test_one_that_keeps_all_leaves_something_to_its_tenant_and_more_to_others(total: int) -> None:
    shares = FairBudget(total)
    assert total // 2 <= hoard(shares, "first", "t") <= total * 16 // 25
    second = shares.room("second", "t")
    assert 0 < second < shares.room("other", "u")


def test_tenants_that_keep_all_hold_ever_less_and_the_last_gets_one() -> None:
    shares = FairBudget(50)
    held = [hoard(shares, f"a{n}", f"t{n}") for n in range(6)]
    assert held == sorted(held, reverse=True)
    assert held[-1] >= 1


def test_nothing_is_given_of_nothing() -> None:
    shares = FairBudget(2)
    for tenant in ("a", "b"):
        shares.take(tenant, tenant)
    assert shares.room("c", "c") == 0
