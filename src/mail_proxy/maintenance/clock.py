"""Detect a wall clock that was set back, and repair instants in the future."""

from __future__ import annotations

import asyncio
from functools import partial

from mail_proxy.domain.facts import ClockSetBack
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import Worker
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.clock_repair import AFTER_ALL_MESSAGES, after_all_events
from mail_proxy.sql.hourly_counts import HourlyCounts
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import ServiceAction, log

_LOOK_SECONDS = 1.0
#: Smaller steps are the usual corrections by a time service, and need no repair.
_TOLERANCE_SECONDS = 2.0
_SLICE = 1000


class ClockWatch:
    """Service that compares the wall clock with the monotonic clock once a second.

    A clock that is set forward needs no repair: waiting messages are due a little early.
    """

    name = "clock"

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        clock: Clock,
        sync_interval: float,
        bus: Bus,
    ) -> None:
        self._db = db
        self._repairs = tables.clock_repair
        self._rates = tables.rate_use
        self._counts = tables.counts
        self._clock = clock
        self._sync_interval = sync_interval
        self._bus = bus
        self._known = self._ahead()
        self._worker = Worker("clock", self._look)

    @property
    def alive(self) -> bool:
        """True if the clock is watched."""
        return self._worker.alive

    async def start(self) -> None:
        """Repair rows of earlier processes, then start watching the clock.

        Raises DatabaseUnavailable.
        """
        await self._repair()
        self._worker.start()

    async def stop(self, deadline: float) -> None:
        """Stop watching."""
        await self._worker.stop()

    async def _look(self) -> None:
        await asyncio.sleep(_LOOK_SECONDS)
        ahead = self._ahead()
        if ahead < self._known - _TOLERANCE_SECONDS:
            log(ServiceAction.CLOCK_SET_BACK, seconds=self._known - ahead)
            await self._repair()
        self._known = ahead

    async def _repair(self) -> None:
        now = self._clock.now()
        rows = 0
        before: int | None = await self._db.read(after_all_events)
        while before is not None:
            changed, before = await self._db.write(self._repairs.messages, now, before, _SLICE)
            rows += changed
        before_pk: str | None = AFTER_ALL_MESSAGES
        while before_pk is not None:
            changed, before_pk = await self._db.write(
                self._repairs.taken_in, now, before_pk, _SLICE
            )
            rows += changed
        rows += await self._db.write(self._repair_others, now)
        rows += await ChunkedWork(self._db).all(partial(_move_counts, self._counts, now))
        if rows:
            log(ServiceAction.CLOCK_MENDED, rows=rows)
        self._bus.publish(ClockSetBack())

    def _repair_others(self, connection: Connection, now: float) -> int:
        repaired = self._repairs.others(connection, now, self._sync_interval)
        return repaired + self._rates.repair(connection, now)

    def _ahead(self) -> float:
        return self._clock.now() - self._clock.monotonic()


def _move_counts(counts: HourlyCounts, now: float, connection: Connection, most: int) -> int:
    return counts.repair(connection, now, most)
