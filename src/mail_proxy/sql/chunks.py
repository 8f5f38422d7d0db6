"""Chunked work: change any number of rows in short transactions with pauses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import Connection

from mail_proxy.sql.db import SqlDb

#: Time of the work in one chunk. Its commit, and SQLite's checkpoint, may take as long again.
_AIM_SECONDS = 0.025
_FIRST, _LEAST, MOST_ROWS = 200, 50, 2000


class ChunkedWork:
    """Work in chunks of rows, each sized to take about 25 ms, with pauses in between.

    ``share`` is the part of the time that the chunks take; the rest is left to other transactions.
    ``most`` is the largest number of rows in a chunk.
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
        #: Rows of the next chunk.
        self.size = min(_FIRST, most)

    async def all(self, work: Callable[[Connection, int], int]) -> int:
        """Call ``work(connection, at_most)`` until it changes fewer rows than it may.

        Returns the number of all changed rows.
        """
        done = 0
        while True:
            size = self.size
            count = await self.one(work, size)
            done += count
            if count < size:
                return done

    async def one(self, work: Callable[..., int], *arguments: object) -> int:
        """Run one chunk in a transaction of its own, then pause.

        ``work(connection, *arguments)`` should change about ``size`` rows, and returns how many it
        changed.
        """
        timing = _Timing(work, self._seconds)
        done = await self._db.write(timing, *arguments)
        best = int(self.size * _AIM_SECONDS / max(timing.seconds, 0.001))
        self.size = min(max(_LEAST, min(best, 2 * self.size)), self._most)
        # The pause counts the commit too, which other transactions may share.
        await asyncio.sleep((self._seconds() - timing.began) * self._pauses)
        return done


class _Timing:
    """Work that measures when it began, after waiting for a turn, and how long it ran."""

    def __init__(self, work: Callable[..., int], seconds: Callable[[], float]) -> None:
        self._work = work
        self._seconds = seconds
        self.began = self.seconds = 0.0

    def __call__(self, connection: Connection, *arguments: object) -> int:
        self.began = self._seconds()
        done = self._work(connection, *arguments)
        self.seconds = self._seconds() - self.began
        return done
