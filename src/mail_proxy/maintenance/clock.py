"""Notice that the wall clock was set back, and repair the times that then lie in the future."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import Worker
from mail_proxy.sql import SqlDb
from mail_proxy.sql.clock_repair import ClockRepair, after_all_events
from mail_proxy.telemetry.log import Action, log

_LOOK_SECONDS = 1.0
#: Less than this is what time services correct by themselves, and nobody notices.
_TOLERANCE_SECONDS = 2.0
_SLICE = 1000


class ClockWatch:
    """Compares the wall clock with one that only goes forward.

    A clock that is set forward needs no care: what was waiting is due a little early.
    """

    def __init__(
        self,
        db: SqlDb,
        stamps: ClockRepair,
        clock: Clock,
        sync_interval: float,
        set_back: Callable[[], None],
    ) -> None:
        """``set_back`` is called after the database has been looked through and mended."""
        self._db = db
        self._stamps = stamps
        self._clock = clock
        self._sync_interval = sync_interval
        self._set_back = set_back
        self._known = self._ahead()
        self._worker = Worker("clock", self._look)

    async def start(self) -> None:
        """Mend what earlier processes left, and begin to watch. Raises DatabaseUnavailable."""
        await self._mend()
        self._worker.start()

    async def stop(self) -> None:
        """Stop watching."""
        await self._worker.stop()

    async def _look(self) -> None:
        await asyncio.sleep(_LOOK_SECONDS)
        ahead = self._ahead()
        if ahead < self._known - _TOLERANCE_SECONDS:
            log(Action.CLOCK_SET_BACK, seconds=self._known - ahead)
            await self._mend()
        self._known = ahead

    async def _mend(self) -> None:
        now = self._clock.now()
        rows = 0
        before: int | None = await self._db.read(after_all_events)
        while before is not None:
            changed, before = await self._db.write(self._stamps.messages, now, before, _SLICE)
            rows += changed
        rows += await self._db.write(self._stamps.others, now, self._sync_interval)
        if rows:
            log(Action.CLOCK_MENDED, rows=rows)
        self._set_back()

    def _ahead(self) -> float:
        return self._clock.now() - self._clock.monotonic()
