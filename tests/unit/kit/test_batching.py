"""Group commit"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.harness.log_lines import lines

from mail_proxy.kit.batching import Batcher
from mail_proxy.telemetry.log import ServiceAction, begin_request, log


class Flushes:
    """A flush that records its batches, and waits while it is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.begun = asyncio.Event()
        self.fail: BaseException | None = None

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.begun.set()
        await self.open.wait()
        if self.fail is not None:
            raise self.fail
        return [item * 10 for item in items]


async def test_an_item_that_comes_alone_is_flushed_at_once() -> None:
    flush = Flushes()
    assert await Batcher("test", flush, 10).submit(1) == 10
    assert flush.batches == [[1]]


async def test_what_comes_while_a_flush_runs_goes_into_the_next_in_order() -> None:
    flush = Flushes()
    flush.open.clear()
    batcher = Batcher("test", flush, 3)
    first = batcher.submit(0)
    await flush.begun.wait()
    rest = [batcher.submit(i) for i in range(1, 6)]
    assert len(batcher) == 6
    flush.open.set()
    assert await asyncio.gather(first, *rest) == [0, 10, 20, 30, 40, 50]
    assert flush.batches == [[0], [1, 2, 3], [4, 5]]
    await batcher.drained()
    assert len(batcher) == 0


async def test_owners_take_turns_and_keep_their_own_order() -> None:
    flush = Flushes()
    batcher = Batcher("test", flush, 3, owner_of=lambda item: item % 2)
    results = await asyncio.gather(*(batcher.submit(i) for i in (2, 4, 6, 8, 1)))
    assert results == [20, 40, 60, 80, 10]
    assert flush.batches == [[2, 1, 4], [6, 8]]


async def test_a_small_item_does_not_wait_for_all_large_ones_of_another_owner() -> None:
    flush = Flushes()
    batcher = Batcher(
        "test", flush, 10, owner_of=lambda item: item > 9, size_of=lambda item: item, most_size=20
    )
    await asyncio.gather(*(batcher.submit(i) for i in (15, 16, 30, 1, 2)))
    assert flush.batches == [[15, 1], [16, 2], [30]]
    await batcher.drained()
    assert len(batcher) == 0


async def test_an_owner_that_comes_during_a_flush_is_served_before_those_of_the_flush() -> None:
    flush = Flushes()
    flush.open.clear()
    batcher = Batcher(
        "test", flush, 10, owner_of=lambda item: item > 9, size_of=lambda item: item, most_size=20
    )
    large = [batcher.submit(20), batcher.submit(30)]
    await flush.begun.wait()
    small = batcher.submit(1)
    flush.open.set()
    await asyncio.gather(*large, small)
    assert flush.batches == [[20], [1], [30]]


async def test_callers_that_are_ready_together_share_the_first_batch() -> None:
    flush = Flushes()
    batcher = Batcher("test", flush, 10)
    assert await asyncio.gather(*(batcher.submit(i) for i in range(3))) == [0, 10, 20]
    assert flush.batches == [[0, 1, 2]]


async def test_an_error_goes_to_every_caller_of_its_batch_and_to_no_other() -> None:
    flush = Flushes()
    batcher = Batcher("test", flush, 2)
    flush.fail = ValueError("no")
    failed = [batcher.submit(i) for i in range(2)]
    results = await asyncio.gather(*failed, return_exceptions=True)
    assert [str(r) for r in results] == ["no", "no"]
    flush.fail = None
    assert await batcher.submit(5) == 50


async def test_a_caller_that_gives_up_does_not_disturb_the_others_and_its_item_is_flushed() -> None:
    flush = Flushes()
    flush.open.clear()
    batcher = Batcher("test", flush, 10)
    kept, dropped = batcher.submit(1), batcher.submit(2)
    await flush.begun.wait()
    dropped.cancel()
    flush.open.set()
    assert await kept == 10
    assert flush.batches == [[1, 2]]


async def test_drained_waits_for_what_is_handed_over_meanwhile_too() -> None:
    flush = Flushes()
    flush.open.clear()
    batcher = Batcher("test", flush, 1)
    first = batcher.submit(1)
    await flush.begun.wait()
    waiting = asyncio.create_task(batcher.drained())
    second = batcher.submit(2)
    flush.open.set()
    await waiting
    assert first.done()
    assert second.done()
    await batcher.drained()


async def test_a_flush_that_returns_too_few_results_is_an_error_not_a_hang() -> None:
    async def short(items: Sequence[int]) -> list[int]:
        return []

    with pytest.raises(ValueError, match="0 results for 1 items"):
        await asyncio.wait_for(Batcher("test", short, 10).submit(1), 60)


async def test_a_batch_of_many_callers_is_not_logged_under_the_first_ones_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def flush(items: Sequence[int]) -> Sequence[int]:
        log(ServiceAction.CLOCK_MENDED, rows=len(items))
        return items

    batcher = Batcher("test", flush, 10)
    begin_request("r")
    await batcher.submit(1)
    log(ServiceAction.CLOCK_MENDED, rows=2)
    assert lines(caplog, "clock.mended") == [{"rows": 1}, {"request_id": "r", "rows": 2}]
