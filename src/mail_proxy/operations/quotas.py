"""Quotas of a tenant: calls each second, and messages that wait in the queue."""

from __future__ import annotations

from collections.abc import Mapping

from mail_proxy.errors import TooManyRequests
from mail_proxy.kit.clock import Clock
from mail_proxy.operations.cached_counts import PendingCounts

#: A tenant that was silent may make the calls of so many seconds at once.
_BURST_SECONDS = 5.0
_FULL_RETRY_SECONDS = 10


class CallRates:
    """Rate limit on the calls of each tenant's key.

    The calls of administrators are not counted.
    """

    def __init__(self, most_per_second: float, clock: Clock) -> None:
        self._most = most_per_second
        self._clock = clock
        #: By tenant: how many calls it may make at once, and when (monotonic) that was so.
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, tenant_id: str) -> None:
        """Count a call of a tenant; raises TooManyRequests if it has made too many."""
        now = self._clock.monotonic()
        burst = self._most * _BURST_SECONDS
        left, since = self._left.get(tenant_id, (burst, now))
        left = min(burst, left + (now - since) * self._most)
        self._left[tenant_id] = max(left - 1, 0.0), now
        if left < 1:
            raise TooManyRequests(f"too many calls; allowed: {self._most:g} each second", 1)


class QueueQuota:
    """Limits the unfinished messages of each tenant.

    It counts what is added, and asks the database only when that seems to exceed the quota. So
    intake does not wait for a count, and calls at the same time exceed it by nothing but what
    other processes add.
    """

    def __init__(self, pending: PendingCounts, most: int) -> None:
        self._pending = pending
        self._most = most
        #: By tenant: a number of messages that is not lower than that in the queue.
        self._at_most: dict[str, int] = {}

    async def take(self, added: Mapping[str, int]) -> None:
        """Count messages of each tenant; raises TooManyRequests if they exceed its quota."""
        for tenant_id, count in added.items():
            known = self._at_most.get(tenant_id)
            if known is None or known + count > self._most:
                known = await self._pending.of(tenant_id)
            if known + count > self._most:
                text = f"{known} messages are queued and {count} added; allowed: {self._most}"
                raise TooManyRequests(text, _FULL_RETRY_SECONDS)
            self._at_most[tenant_id] = known + count
