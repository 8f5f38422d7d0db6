"""Wakeup, Worker and Jobs"""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.harness.log_lines import lines
from tests.harness.patience import PATIENCE_SECONDS

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit import worker as worker_module
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Jobs, Worker, as_value


async def test_a_ring_before_the_wait_is_not_lost_and_counts_once() -> None:
    bell = Wakeup()
    bell.ring()
    bell.ring()
    assert await bell.wait(None) is True
    assert await bell.wait(0) is False


async def test_a_ring_wakes_who_waits() -> None:
    bell = Wakeup()
    waiter = asyncio.create_task(bell.wait(None))
    await asyncio.sleep(0)
    assert not waiter.done()
    bell.ring()
    assert await asyncio.wait_for(waiter, 60) is True
    assert await bell.wait(0) is False


async def test_a_worker_runs_its_step_again_and_again_until_it_is_stopped() -> None:
    enough = asyncio.Event()
    rounds = 0

    async def step() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 5:
            enough.set()
        await asyncio.sleep(0)

    worker = Worker("test", step)
    assert not worker.alive
    worker.start()
    worker.start()
    assert worker.alive
    await enough.wait()
    await worker.stop()
    assert not worker.alive
    at_stop = rounds
    await asyncio.sleep(0)
    assert rounds == at_stop
    await worker.stop()


@pytest.mark.parametrize("error", [ValueError("oops"), DatabaseUnavailable("gone")])
async def test_a_worker_survives_whatever_its_step_raises(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mail_proxy")
    again = asyncio.Event()
    errors = [error]

    async def step() -> None:
        if errors:
            raise errors.pop()
        again.set()
        await asyncio.Event().wait()

    worker = Worker("test", step)
    worker.start()
    async with asyncio.timeout(60):
        await again.wait()
    assert worker.alive
    await worker.stop()
    expected: dict[str, object] = {"loop": "test", "reason": "gone"}
    if isinstance(error, ValueError):
        (told,) = lines(caplog, "loop.failed")
        assert "test_loops.py" in told.pop("trace")
        expected = {"loop": "test", "seconds": 0.5, "error": "ValueError"}
    else:
        (told,) = lines(caplog, "loop.waits")
    assert told == expected


async def test_jobs_run_one_at_a_time_for_each_key_and_do_not_share_their_errors() -> None:
    jobs = Jobs("test")
    begun: list[str] = []
    go_on = asyncio.Event()

    async def job(name: str) -> None:
        begun.append(name)
        await go_on.wait()
        if name == "a":
            raise ValueError("only mine")

    for name in ("a", "b", "a"):
        jobs.start(name, lambda name=name: job(name))
    await asyncio.sleep(0)
    assert (begun, len(jobs)) == (["a", "b"], 2)
    go_on.set()
    await jobs.stop(5)
    assert len(jobs) == 0


async def test_jobs_that_do_not_end_in_time_are_broken_off() -> None:
    jobs = Jobs("test")
    jobs.start("a", lambda: asyncio.Event().wait())  # type: ignore[arg-type, return-value]
    await jobs.stop(0)
    assert len(jobs) == 0


async def test_caught_makes_an_error_a_value_but_lets_cancellation_through() -> None:
    async def fail(error: BaseException) -> None:
        raise error

    error = ValueError()
    assert await as_value(fail(error)) is error
    with pytest.raises(asyncio.CancelledError):
        await as_value(fail(asyncio.CancelledError()))


async def test_a_loop_that_keeps_failing_is_logged_at_its_begin_and_its_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(worker_module, "_LONGEST_PAUSE_SECONDS", 0.002)
    rounds = 0
    good = asyncio.Event()

    async def step() -> None:
        nonlocal rounds
        rounds += 1
        if rounds <= 10:
            raise ValueError("oops")
        if rounds == 12:
            good.set()
            await asyncio.Event().wait()

    worker = Worker("test", step)
    worker.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await good.wait()
    await worker.stop()
    assert len(lines(caplog, "loop.failed")) == 1
    (resumed,) = lines(caplog, "loop.resumed")
    assert resumed["loop"] == "test"
