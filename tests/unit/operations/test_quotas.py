"""Quotas of a tenant."""

from __future__ import annotations

import pytest

from mail_proxy.errors import TooManyRequests
from mail_proxy.operations.quotas import CallRates, QueueQuota
from mail_proxy.testing.clock import FakeClock


def test_calls_beyond_the_rate_are_refused_for_this_tenant_alone() -> None:
    clock = FakeClock()
    rates = CallRates(10, clock)
    for _ in range(50):
        rates.take("busy")
    with pytest.raises(TooManyRequests, match="allowed: 10 each second"):
        rates.take("busy")
    rates.take("quiet")
    clock.advance(1)
    for _ in range(10):
        rates.take("busy")
    with pytest.raises(TooManyRequests):
        rates.take("busy")


class Counted:
    def __init__(self) -> None:
        self.waiting, self.asked = 0, 0

    async def of(self, tenant_id: str | None) -> int:
        self.asked += 1
        return self.waiting


async def test_the_database_is_asked_only_when_the_quota_seems_exceeded() -> None:
    counted = Counted()
    quota = QueueQuota(counted, 100)  # type: ignore[arg-type]
    for _ in range(10):
        await quota.take({"t": 10})
    assert counted.asked == 1
    counted.waiting = 100
    with pytest.raises(TooManyRequests, match="100 messages are queued and 1 added; allowed: 100"):
        await quota.take({"t": 1})
    counted.waiting = 40
    await quota.take({"t": 60})
