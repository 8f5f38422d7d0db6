"""When tenants are called, how their calls are kept apart, and what survives."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from tests.harness.log_lines import lines
from tests.protocols.reporting.house import CALL_SECONDS, INTERVAL, House, ids

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.liveness import process_space
from mail_proxy.sql import SqlDb
from mail_proxy.testing.sync_endpoint import Reply, SyncEndpoint


async def test_a_tenant_with_nothing_to_report_is_called_every_interval(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    await house.settled(reporter)
    house.clock.advance(0.89 * INTERVAL)
    await house.settled(reporter)
    assert len(endpoint.calls) == 1
    house.clock.advance(0.11 * INTERVAL)
    await endpoint.wait_for(2)
    await house.stop(reporter)
    assert ids(endpoint.calls) == [[], []]


async def test_do_not_disturb_holds_back_empty_calls_also_after_a_restart(
    house: House, endpoint: SyncEndpoint
) -> None:
    quiet = house.clock.now() + 3600
    endpoint.script(Reply({"next_sync_after": quiet}))
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter("before")
    await endpoint.wait_for(1)
    await house.stop(reporter)

    reporter = await house.reporter("after")
    house.clock.advance(2 * INTERVAL)
    await house.settled(reporter)
    reporter.run_now(None)
    await house.settled(reporter)
    assert len(endpoint.calls) == 1
    await house.event(["m"])
    reporter.new_events()
    await endpoint.wait_for(2)
    await house.settled(reporter)
    assert (await house.sync())["quiet_until"] == quiet, "an answer without the field keeps it"

    house.clock.advance(3600 - 2 * INTERVAL)
    await endpoint.wait_for(3)
    assert ids(endpoint.calls) == [[], ["m"], []]


async def test_do_not_disturb_ends_with_run_now_for_that_tenant(
    house: House, endpoint: SyncEndpoint
) -> None:
    endpoint.script(Reply({"next_sync_after": 1e12}))
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    await house.settled(reporter)
    assert (await house.sync())["quiet_until"] == house.clock.now() + 365 * 86_400
    reporter.run_now("t")
    await endpoint.wait_for(2)
    await house.stop(reporter)
    assert (await house.sync())["quiet_until"] is None


async def test_run_now_calls_all_and_ends_waiting_after_failures(
    house: House, endpoint: SyncEndpoint
) -> None:
    endpoint.script(Reply(status=500))
    async with SyncEndpoint() as other:
        await house.tenant(client_base_url=endpoint.url)
        await house.tenant("u", client_base_url=other.url)
        await house.event(["m"])
        reporter = await house.reporter()
        await endpoint.wait_for(1)
        await other.wait_for(1)
        await house.settled(reporter)
        reporter.run_now()
        await endpoint.wait_for(2)
        await other.wait_for(2)
        await house.stop(reporter)
    assert await house.unreported() == []


async def test_run_now_while_a_call_is_in_flight_is_followed_by_another(
    house: House, endpoint: SyncEndpoint
) -> None:
    gate = asyncio.Event()
    endpoint.script(Reply({}, after=gate))
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    house.clock.advance(1)
    async with SyncEndpoint() as other:
        await house.tenant("u", client_base_url=other.url)
        reporter.run_now("t")
        reporter.run_now("u")
        await other.wait_for(1)  # the round that wrote both wishes is over
        gate.set()
        await endpoint.wait_for(2)
        await house.stop(reporter)
    assert endpoint.most_busy == 1


async def test_announced_messages_bring_the_next_call_at_once_then_more_and_more_slowly(
    house: House, endpoint: SyncEndpoint
) -> None:
    endpoint.default = Reply({"queued": 3})
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter()
    await endpoint.wait_for(2)
    await house.settled(reporter)
    for calls, delay in enumerate((1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300), 3):
        assert len(endpoint.calls) == calls - 1
        assert (await house.sync())["next_due_at"] == house.clock.now() + delay
        house.clock.advance(delay)
        await endpoint.wait_for(calls)
        await house.settled(reporter)

    reporter.messages_added("t")
    calls = len(endpoint.calls)
    await endpoint.wait_for(calls + 2)
    await house.settled(reporter)
    assert (await house.sync())["next_due_at"] == house.clock.now() + 1


async def test_messages_that_arrive_during_the_call_keep_the_pace(
    house: House, endpoint: SyncEndpoint
) -> None:
    gate = asyncio.Event()
    endpoint.script(Reply({"queued": 1}), Reply({"queued": 1}, after=gate), Reply({"queued": 1}))
    await house.tenant(client_base_url=endpoint.url)
    reporter = await house.reporter()
    await endpoint.wait_for(2)
    async with SyncEndpoint() as other:
        await house.tenant("u", client_base_url=other.url)
        reporter.messages_added("t")
        reporter.run_now("u")
        await other.wait_for(1)
        gate.set()
        # Without the arrival the third call would wait for a second of the clock's time.
        await endpoint.wait_for(4)
        await house.stop(reporter)


async def test_a_tenant_that_hangs_delays_nobody(house: House, endpoint: SyncEndpoint) -> None:
    async with SyncEndpoint(Reply(hangs=True)) as dead:
        await house.tenant("dead", client_base_url=dead.url)
        await house.tenant(client_base_url=endpoint.url)
        await house.event(["x"], tenant="dead")
        reporter = await house.reporter()
        await dead.wait_for(1)
        for number in range(5):
            await house.event([f"m{number}"])
            reporter.new_events()
            await endpoint.wait_for_report(f"m{number}")
        assert len(dead.calls) == 1
        await house.stop(reporter, 0)


async def test_two_reporters_make_one_call_at_a_time(house: House, endpoint: SyncEndpoint) -> None:
    gate = asyncio.Event()
    endpoint.script(Reply({}, after=gate))
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    first, second = await house.reporter("first"), await house.reporter("second")
    await endpoint.wait_for(1)
    await house.event(["n"])
    for reporter in (first, second):
        reporter.run_now()
    async with SyncEndpoint() as other:
        await house.tenant("u", client_base_url=other.url)
        for count, reporter in enumerate((first, second), 1):
            house.clock.advance(1)
            reporter.run_now("u")
            await other.wait_for(count)
    assert len(endpoint.calls) == 1
    gate.set()
    await endpoint.wait_for_report("n")
    await house.stop(first)
    await house.stop(second)
    assert endpoint.most_busy == 1
    assert [i for call in ids(endpoint.calls) for i in call] == ["m", "n"]


async def test_a_claim_of_a_process_that_died_runs_out(
    house: House, endpoint: SyncEndpoint
) -> None:
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    now = house.clock.now()
    await house.db.write(house.tables.tenant_sync.claim, "t", "dead", now, now + 45)
    reporter = await house.reporter()
    await house.settled(reporter)
    assert endpoint.calls == []
    house.clock.advance(45.1)
    await endpoint.wait_for_report("m")


def ended_process() -> int:
    """Id of a process that is not there any more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


async def test_a_claim_of_a_process_that_was_killed_is_taken_over_at_once(
    house: House, endpoint: SyncEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    await house.tenant("t", client_base_url=endpoint.url)
    await house.event(["m"])
    await house.tenant("lives", client_base_url=endpoint.url)
    now, space = house.clock.now(), process_space()
    claim = house.tables.tenant_sync.claim
    await house.db.write(claim, "t", f"it {ended_process()} {space}", now, now + 45)
    await house.db.write(claim, "lives", f"it {os.getpid()} {space}", now, now + 45)
    await house.settled(await house.reporter())
    assert ids(endpoint.calls) == [["m"]], "the living one keeps its tenant"
    assert "action=report.took_over" in caplog.text


async def test_what_was_told_and_not_written_down_is_told_again(
    house: House, endpoint: SyncEndpoint
) -> None:
    endpoint.script(Reply(hangs=True))
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    reporter = await house.reporter("first")
    await endpoint.wait_for(1)
    await house.stop(reporter, 0)
    assert (await house.sync())["claimed_by"] is None
    assert await house.unreported() == ["m"]
    await house.reporter("second")
    await endpoint.wait_for(2)
    assert ids(endpoint.calls) == [["m"], ["m"]]


async def test_stop_waits_for_the_call_in_flight(house: House, endpoint: SyncEndpoint) -> None:
    gate = asyncio.Event()
    endpoint.script(Reply({"queued": 1}, after=gate))
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    reporter = await house.reporter()
    await endpoint.wait_for(1)
    stopping = asyncio.create_task(house.stop(reporter))
    gate.set()
    await stopping
    await house.stop(reporter)
    assert not reporter.alive
    assert await house.unreported() == []
    assert ids(endpoint.calls)[0] == ["m"]
    assert (await house.sync())["claimed_by"] is None


async def test_a_tenant_that_is_deleted_while_it_is_called(
    house: House, endpoint: SyncEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    gate = asyncio.Event()
    endpoint.script(Reply({}, after=gate))
    await house.tenant(client_base_url=endpoint.url)
    await house.event(["m"])
    reporter = await house.reporter()
    await endpoint.wait_for(1)

    def delete(connection: Any) -> None:
        house.tables.tenants.delete(connection, id="t")

    await house.db.write(delete)
    gate.set()
    await house.settled(reporter)
    assert not lines(caplog, "job.failed")


async def test_in_test_mode_calls_are_made_on_run_now_only(
    house: House, endpoint: SyncEndpoint
) -> None:
    async with SyncEndpoint() as other:
        await house.tenant("u", client_base_url=other.url)
        reporter = await house.reporter(test_mode=True)
        reporter.run_now()
        await other.wait_for(1)
        await house.tenant(client_base_url=endpoint.url)
        await house.event(["m"])
        reporter.new_events()
        house.clock.advance(INTERVAL)
        assert endpoint.calls == []
        reporter.run_now()
        await endpoint.wait_for_report("m")


class FlakyDb(SqlDb):
    """A database that is away for as long as a test wants it."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.away = False
        self.refused = asyncio.Event()

    async def write(self, work: Callable[..., Any], *arguments: Any) -> Any:
        self._check()
        return await super().write(work, *arguments)

    async def read(self, work: Callable[..., Any], *arguments: Any) -> Any:
        self._check()
        return await super().read(work, *arguments)

    def _check(self) -> None:
        if self.away:
            self.refused.set()
            raise DatabaseUnavailable("away")


async def test_a_database_that_goes_away_stops_nothing_for_good(
    house: House, endpoint: SyncEndpoint, database_url: str
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        db = FlakyDb(database_url)
        stack.push_async_callback(db.close)
        await house.tenant(client_base_url=endpoint.url)
        await house.event(["m"])
        gate = asyncio.Event()
        endpoint.script(Reply({}, after=gate))
        reporter = await house.reporter(db=db)
        await endpoint.wait_for(1)
        db.away = True
        gate.set()
        await db.refused.wait()
        db.refused.clear()
        await db.refused.wait()
        db.away = False
        house.clock.advance(CALL_SECONDS + 16)  # the claim of a call runs for 15 s more
        await endpoint.wait_for(2)
        await house.stop(reporter)
    assert ids(endpoint.calls) == [["m"], ["m"]]
    assert await house.unreported() == []
