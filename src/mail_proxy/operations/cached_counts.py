"""Cached counts of unfinished messages, for callers that poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from mail_proxy.sql import SqlDb
from mail_proxy.sql.table import EVERY_TENANT
from mail_proxy.sql.tables import Tables

#: A result is kept for this many times the duration of its query, so that polling costs a twentieth
#: of one reading connection at most. The result of a query shorter than 20 ms is not kept.
_LIFE_PER_COST = 20
_SHORTEST_SECONDS = 0.02
_OLDEST_SECONDS = 10.0
Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class CostCache(Generic[Key, Result]):
    """Caches the results of expensive queries for at most ``oldest_seconds``."""

    def __init__(
        self,
        query: Callable[[Key], Awaitable[Result]],
        oldest_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._query = query
        self._oldest_seconds = oldest_seconds
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        #: Each result, and until when (monotonic) it is kept.
        self._results: dict[Key, tuple[Result, float]] = {}

    async def of(self, key: Key) -> Result:
        """Return the result for a key, from the cache if it is recent enough."""
        async with self._lock:
            now = self._monotonic()
            self._results = {k: v for k, v in self._results.items() if v[1] > now}
            known = self._results.get(key)
            if known is not None:
                return known[0]
            result = await self._query(key)
            took = self._monotonic() - now
            if took > _SHORTEST_SECONDS:
                until = now + took + min(self._oldest_seconds, took * _LIFE_PER_COST)
                self._results[key] = (result, until)
            return result


class PendingCounts:
    """Counts of unfinished messages; one of a million messages is up to 10 s old."""

    def __init__(self, db: SqlDb, tables: Tables) -> None:
        self._db = db
        self._tables = tables
        #: By tenant; None is the whole instance.
        self._counts = CostCache(self._count, _OLDEST_SECONDS)

    async def of(self, tenant_id: str | None) -> int:
        """Return the count of one tenant or, with None, of the whole instance."""
        return await self._counts.of(tenant_id)

    async def _count(self, tenant_id: str | None) -> int:
        wanted = EVERY_TENANT if tenant_id is None else tenant_id
        return await self._db.read(self._tables.messages.count_waiting, wanted)
