"""The results of expensive queries are cached for a while."""

from __future__ import annotations

import asyncio

from mail_proxy.operations.cached_counts import CostCache
from mail_proxy.testing.clock import FakeClock


class Queue:
    """Counting it takes ``seconds``."""

    def __init__(self, seconds: float, oldest_seconds: float = 60.0) -> None:
        self.clock = FakeClock()
        self.seconds = seconds
        self.asked: list[str] = []
        self.figures = CostCache(self._count, oldest_seconds, self.clock.monotonic)

    async def _count(self, tenant: str) -> int:
        self.asked.append(tenant)
        await asyncio.sleep(0)
        self.clock.advance(self.seconds)
        return len(self.asked)


async def test_what_is_found_quickly_is_found_each_time() -> None:
    queue = Queue(seconds=0.001)
    assert [await queue.figures.of("t") for _ in range(3)] == [1, 2, 3]


async def test_what_takes_long_is_told_again_for_twenty_times_as_long() -> None:
    queue = Queue(seconds=1)
    assert await queue.figures.of("t") == 1
    queue.clock.advance(19.9)
    assert await queue.figures.of("t") == 1
    assert await queue.figures.of("other") == 2
    queue.clock.advance(0.2)
    assert await queue.figures.of("t") == 3


async def test_no_figure_is_older_than_the_bound() -> None:
    queue = Queue(seconds=10, oldest_seconds=60)
    assert await queue.figures.of("t") == 1
    queue.clock.advance(60.1)
    assert await queue.figures.of("t") == 2


async def test_who_asks_at_the_same_time_gets_the_same() -> None:
    queue = Queue(seconds=1)
    assert await asyncio.gather(*(queue.figures.of("t") for _ in range(5))) == [1] * 5
    assert queue.asked == ["t"]
