"""How many messages are not finished, for those who ask again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from mail_proxy.operations import service
from mail_proxy.operations.access import Caller
from mail_proxy.operations.operation import Door

#: A count is told again for this many times of what counting took, so that monitoring costs a
#: twentieth of one reading connection at most; a small queue is counted each time.
_PATIENCE = 20
_SHORTEST_SECONDS = 0.02
_OLDEST_SECONDS = 10.0


class PendingCounts:
    """Counts of the instance and of tenants; one of a million messages is up to 10 s old."""

    def __init__(self, door: Door, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._door = door
        self._monotonic = monotonic
        self._counting = asyncio.Lock()
        #: By tenant (None: the instance) the count, and until when (monotonic) it is told.
        self._counted: dict[str | None, tuple[int, float]] = {}

    async def of(self, caller: Caller) -> int:
        """Of the caller's tenant, or of the whole instance for the administrator."""
        async with self._counting:
            now = self._monotonic()
            self._counted = {k: v for k, v in self._counted.items() if v[1] > now}
            known = self._counted.get(caller.tenant_id)
            if known is not None:
                return known[0]
            what = service.pending if caller.is_admin else service.pending_of_tenant
            count = await self._door.call(what, caller, None)
            took = self._monotonic() - now
            if took > _SHORTEST_SECONDS:
                until = now + took + min(_OLDEST_SECONDS, took * _PATIENCE)
                self._counted[caller.tenant_id] = (count, until)
            return count
