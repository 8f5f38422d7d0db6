"""How many messages are not finished, for those who ask again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from mail_proxy.operations import service
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Door

#: A figure is told again for this many times of what finding it took, so that monitoring costs a
#: twentieth of one reading connection at most; that of a small queue is found each time.
_PATIENCE = 20
_SHORTEST_SECONDS = 0.02
_OLDEST_SECONDS = 10.0
Key = TypeVar("Key", bound=Hashable)
Figure = TypeVar("Figure")


class CostCache(Generic[Key, Figure]):
    """CostCache that are dear to find, told again for ``oldest_seconds`` at most."""

    def __init__(
        self,
        find: Callable[[Key], Awaitable[Figure]],
        oldest_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._oldest_seconds = oldest_seconds
        self._monotonic = monotonic
        self._finding = asyncio.Lock()
        #: The figure, and until when (monotonic) it is told.
        self._found: dict[Key, tuple[Figure, float]] = {}

    async def of(self, key: Key) -> Figure:
        """Found now, or not long ago."""
        async with self._finding:
            now = self._monotonic()
            self._found = {k: v for k, v in self._found.items() if v[1] > now}
            known = self._found.get(key)
            if known is not None:
                return known[0]
            figure = await self._find(key)
            took = self._monotonic() - now
            if took > _SHORTEST_SECONDS:
                until = now + took + min(self._oldest_seconds, took * _PATIENCE)
                self._found[key] = (figure, until)
            return figure


class PendingCounts:
    """Counts of the instance and of tenants; one of a million messages is up to 10 s old."""

    def __init__(self, door: Door) -> None:
        self._door = door
        #: By tenant; None is the instance.
        self._counts = CostCache(self._count, _OLDEST_SECONDS)

    async def of(self, caller: Caller) -> int:
        """Of the caller's tenant, or of the whole instance for the administrator."""
        return await self._counts.of(caller.tenant_id)

    async def _count(self, tenant_id: str | None) -> int:
        what = service.pending if tenant_id is None else service.pending_of_tenant
        return await self._door.call(what, Caller(tenant_id), None)
