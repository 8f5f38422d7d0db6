"""Share of the reading connections for each tenant.

It keeps one tenant from slowing the reads of the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_AT_ONCE = 2


class ReadShares:
    """Semaphores that let each tenant make at most two reads at once, in order."""

    def __init__(self) -> None:
        #: By tenant: its semaphore, and how many reads have it or wait for it.
        self._shares: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a turn of the tenant, and keep it while the block runs."""
        share, users = self._shares.get(tenant_id) or (asyncio.Semaphore(_AT_ONCE), 0)
        self._shares[tenant_id] = share, users + 1
        try:
            async with share:
                yield
        finally:
            users = self._shares[tenant_id][1] - 1
            if users:
                self._shares[tenant_id] = share, users
            else:
                del self._shares[tenant_id]
