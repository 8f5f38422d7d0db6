"""Quotas of a tenant."""

from __future__ import annotations

import asyncio

import pytest

from mail_proxy.config import QuotaConfig
from mail_proxy.errors import TooManyRequests
from mail_proxy.operations.quotas import CallRates, Load, QueueQuota, QuotaOf
from mail_proxy.testing.clock import FakeClock


def quota(**own: float) -> QuotaOf:
    return lambda tenant_id: QuotaConfig().of(own if tenant_id != "usual" else {})


def test_calls_beyond_the_rate_are_refused_for_this_tenant_alone() -> None:
    clock = FakeClock()
    rates = CallRates(quota(max_calls_per_second=10), clock)
    for _ in range(50):
        rates.take("busy")
    with pytest.raises(TooManyRequests, match="allowed: 10 each second"):
        rates.take("busy")
    rates.take("quiet")
    for _ in range(60):
        rates.take("usual")
    clock.advance(1)
    for _ in range(10):
        rates.take("busy")
    with pytest.raises(TooManyRequests):
        rates.take("busy")


def test_a_rate_below_one_call_in_five_seconds_admits_a_call_when_retry_after_says_so() -> None:
    clock = FakeClock()
    rates = CallRates(quota(max_calls_per_second=0.1), clock)
    rates.take("slow")
    with pytest.raises(TooManyRequests) as refused:
        rates.take("slow")
    assert refused.value.retry_after_seconds == 10
    clock.advance(refused.value.retry_after_seconds)
    rates.take("slow")


class Counted:
    def __init__(self) -> None:
        self.waiting, self.asked = Load(), 0

    async def __call__(self, tenant_id: str) -> tuple[int, int]:
        self.asked += 1
        found = self.waiting
        await asyncio.sleep(0)
        return found


async def take(queue: QueueQuota, messages: int, size: int = 0) -> None:
    async with queue.room({"t": Load(messages, size)}):
        pass


async def test_the_database_is_asked_only_when_the_quota_seems_exceeded() -> None:
    counted, clock = Counted(), FakeClock()
    queue = QueueQuota(counted, quota(max_queued_messages=100), clock.monotonic)
    for _ in range(10):
        await take(queue, 10)
    assert counted.asked == 1
    counted.waiting = Load(100)
    with pytest.raises(TooManyRequests, match="100 messages are queued and 1 added; allowed: 100"):
        await take(queue, 1)
    counted.waiting = Load(40)
    await take(queue, 60)
    counted.waiting = Load(100)
    with pytest.raises(TooManyRequests, match="max_queued_messages"):
        await take(queue, 1)


async def test_the_size_of_what_is_queued_has_a_quota_too() -> None:
    counted = Counted()
    queue = QueueQuota(counted, quota(max_queued_mb=3))
    counted.waiting = Load(1, 1_000_000)
    await take(queue, 1, 1_900_000)
    counted.waiting = Load(2, 2_900_000)
    text = "2.9 MB are queued and 0.2 MB added; allowed: 3 MB .max_queued_mb"
    with pytest.raises(TooManyRequests, match=text):
        await take(queue, 1, 200_000)
    await take(queue, 1, 100_000)


async def test_calls_at_the_same_time_do_not_exceed_the_quota_together() -> None:
    counted = Counted()
    queue, stored = QueueQuota(counted, quota(max_queued_messages=50)), asyncio.Event()

    async def call() -> bool:
        try:
            async with queue.room({"t": Load(10)}):
                await stored.wait()
        except TooManyRequests:
            return False
        counted.waiting = counted.waiting.plus(Load(10))
        return True

    calls = [asyncio.create_task(call()) for _ in range(20)]
    for _ in range(100):
        await asyncio.sleep(0)
    stored.set()
    assert sum(await asyncio.gather(*calls)) == 5


async def test_a_full_queue_is_not_counted_again_at_once_if_that_is_expensive() -> None:
    clock = FakeClock()
    asked = 0

    async def count(tenant_id: str) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        clock.advance(0.1)
        return 100, 0

    queue = QueueQuota(count, quota(max_queued_messages=100), clock.monotonic)
    for _ in range(5):
        with pytest.raises(TooManyRequests):
            await take(queue, 1)
    assert asked == 1
    clock.advance(2.1)
    with pytest.raises(TooManyRequests):
        await take(queue, 1)
    assert asked == 2
