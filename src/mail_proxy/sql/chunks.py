"""Work on any number of rows, in transactions that leave room for others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import Connection

from mail_proxy.sql.db import SqlDb

#: Of work; its commit, and SQLite's checkpoint, may take as long again.
_AIM_SECONDS = 0.025
_FIRST, _LEAST, MOST_ROWS = 200, 50, 2000


class ChunkedWork:
    """Sizes slices so that each takes about 25 ms, whatever a row costs, and pauses in between.

    ``share`` is the part of the time that they take, the rest is for others; ``most`` is how many
    rows a slice has at most.
    """

    def __init__(
        self,
        db: SqlDb,
        *,
        share: float = 0.5,
        most: int = MOST_ROWS,
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._db = db
        self._pauses = 1 / share - 1
        self._most = most
        self._seconds = seconds
        #: Rows of the next slice.
        self.size = min(_FIRST, most)

    async def all(self, work: Callable[[Connection, int], int]) -> int:
        """Call ``work(connection, at_most)`` until nothing is left for it; returns how many."""
        done = 0
        while True:
            size = self.size
            count = await self.one(work, size)
            done += count
            if count < size:
                return done

    async def one(self, work: Callable[..., int], *arguments: object) -> int:
        """``work(connection, *arguments)``, about ``size`` rows, in a transaction of its own."""
        timing = _Timing(work, self._seconds)
        done = await self._db.write(timing, *arguments)
        best = int(self.size * _AIM_SECONDS / max(timing.seconds, 0.001))
        self.size = min(max(_LEAST, min(best, 2 * self.size)), self._most)
        # With the commit, which may be shared with others.
        await asyncio.sleep((self._seconds() - timing.began) * self._pauses)
        return done


class _Timing:
    """Notes when work began, which is after its turn came, and how long it took."""

    def __init__(self, work: Callable[..., int], seconds: Callable[[], float]) -> None:
        self._work = work
        self._seconds = seconds
        self.began = self.seconds = 0.0

    def __call__(self, connection: Connection, *arguments: object) -> int:
        self.began = self._seconds()
        done = self._work(connection, *arguments)
        self.seconds = self._seconds() - self.began
        return done
