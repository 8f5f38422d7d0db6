"""Quotas of a tenant: calls each second, and messages that wait in the queue."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from mail_proxy.config import QuotaConfig
from mail_proxy.errors import TooManyRequests
from mail_proxy.kit.clock import Clock
from mail_proxy.sql.directory import Directory

#: A tenant that was silent may make the calls of so many seconds at once.
_BURST_SECONDS = 5.0
_FULL_RETRY_SECONDS = 10
#: A full queue is counted again after this many times the duration of the count, so that a tenant
#: that keeps trying costs a twentieth of one reading connection. At most so many seconds later.
_REST_PER_COST = 20
_LONGEST_REST_SECONDS = 60.0

#: Function that returns the quotas in effect for a tenant.
QuotaOf = Callable[[str], QuotaConfig]


def quotas_in(directory: Directory, settings: QuotaConfig) -> QuotaOf:
    """Return a lookup of a tenant's quotas: its own, else those of the settings."""

    def quota_of(tenant_id: str) -> QuotaConfig:
        tenant = directory.snapshot.tenants.get(tenant_id)
        return settings if tenant is None else settings.of(tenant.quotas)

    return quota_of


class CallRates:
    """Rate limit on the calls of each tenant's key.

    The calls of administrators are not counted.
    """

    def __init__(self, quota_of: QuotaOf, clock: Clock) -> None:
        self._quota_of = quota_of
        self._clock = clock
        #: By tenant: how many calls it may make at once, and when (monotonic) that was so.
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, tenant_id: str) -> None:
        """Count a call of a tenant; raises TooManyRequests if it has made too many."""
        most = self._quota_of(tenant_id).max_calls_per_second
        now = self._clock.monotonic()
        burst = max(1.0, most * _BURST_SECONDS)
        left, since = self._left.get(tenant_id, (burst, now))
        left = min(burst, left + (now - since) * most)
        self._left[tenant_id] = (left - 1 if left >= 1 else left), now
        if left < 1:
            text = f"too many calls; allowed: {most:g} each second (max_calls_per_second)"
            raise TooManyRequests(text, math.ceil((1 - left) / most))

    def give_back(self, tenant_id: str) -> None:
        """Undo a ``take``: the call is counted when it comes back."""
        left, since = self._left[tenant_id]
        self._left[tenant_id] = left + 1, since


class Load(NamedTuple):
    """A number of messages, and the size of their content in bytes."""

    messages: int = 0
    size: int = 0

    def plus(self, other: Load) -> Load:
        return Load(self.messages + other.messages, self.size + other.size)

    def minus(self, other: Load) -> Load:
        return Load(self.messages - other.messages, self.size - other.size)


@dataclass(slots=True)
class _Use:
    """Upper bounds of one tenant's queue that need no query."""

    #: Not lower than the tenant's queue; None if it was not counted yet.
    at_most: Load | None = None
    #: Everything that this process has added.
    added: Load = field(default_factory=Load)
    #: The part of ``added`` that is not committed yet.
    uncommitted: Load = field(default_factory=Load)
    #: When (monotonic) the queue may be counted again.
    countable_at: float = 0.0
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take(self, load: Load) -> None:
        """Add messages that will be committed; the tenant's queue has been counted."""
        assert self.at_most is not None
        self.at_most = self.at_most.plus(load)
        self.added = self.added.plus(load)
        self.uncommitted = self.uncommitted.plus(load)


class QueueQuota:
    """Limits the unfinished messages of each tenant, by number and by size.

    It adds up what is added, and asks the database only when that seems to exceed the quota. So
    intake does not wait for a count, and calls at the same time exceed it by nothing but what
    other processes add.
    """

    def __init__(
        self,
        count: Callable[[str], Awaitable[tuple[int, int]]],
        quota_of: QuotaOf,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask ``count`` for a tenant's unfinished messages: their number and size."""
        self._count = count
        self._quota_of = quota_of
        self._monotonic = monotonic
        self._uses: dict[str, _Use] = {}

    @asynccontextmanager
    async def room(self, added: Mapping[str, Load]) -> AsyncIterator[None]:
        """Take room for messages of each tenant, which the block commits.

        Raises TooManyRequests if they exceed the quota of a tenant.
        """
        taken: list[tuple[_Use, Load]] = []
        try:
            for tenant_id, load in added.items():
                use = self._use_of(tenant_id)
                await self._make_room(tenant_id, use, load)
                use.take(load)
                taken.append((use, load))
            yield
        finally:
            _end(taken)

    def take_at_once(self, added: Mapping[str, Load]) -> Callable[[], None] | None:
        """Take room as ``room`` does, if nothing has to be counted; else return None.

        The returned function is to be called once the messages are committed, or are not.
        """
        taken = [(self._use_of(tenant_id), load) for tenant_id, load in added.items()]
        quotas = map(self._quota_of, added)
        for (use, load), quota in zip(taken, quotas, strict=True):
            if _excess(use.at_most, load, quota) is not None:
                return None
        for use, load in taken:
            use.take(load)
        return partial(_end, taken)

    def _use_of(self, tenant_id: str) -> _Use:
        use = self._uses.get(tenant_id)
        if use is None:
            use = self._uses[tenant_id] = _Use()
        return use

    async def _make_room(self, tenant_id: str, use: _Use, load: Load) -> None:
        quota = self._quota_of(tenant_id)
        if _excess(use.at_most, load, quota) is not None:
            async with use.counting:
                is_time = self._monotonic() >= use.countable_at
                if is_time and _excess(use.at_most, load, quota) is not None:
                    await self._renew(tenant_id, use)
            excess = _excess(use.at_most, load, quota)
            if excess is not None:
                raise TooManyRequests(excess, _FULL_RETRY_SECONDS)

    async def _renew(self, tenant_id: str, use: _Use) -> None:
        """Count the tenant's queue in the database.

        The count may miss what is not committed when it begins, and what is added meanwhile.
        """
        seen, began = use.added.minus(use.uncommitted), self._monotonic()
        counted = Load(*await self._count(tenant_id))
        use.at_most = counted.plus(use.added).minus(seen)
        now = self._monotonic()
        use.countable_at = now + min(_LONGEST_REST_SECONDS, (now - began) * _REST_PER_COST)


def _end(taken: Iterable[tuple[_Use, Load]]) -> None:
    for use, load in taken:
        use.uncommitted = use.uncommitted.minus(load)


def _excess(known: Load | None, load: Load, quota: QuotaConfig) -> str | None:
    """Return how a load exceeds a quota, in words; None if it does not."""
    if known is None:
        return "not counted yet"
    if known.messages + load.messages > quota.max_queued_messages:
        return (
            f"{known.messages} messages are queued and {load.messages} added; "
            f"allowed: {quota.max_queued_messages} (max_queued_messages)"
        )
    if known.size + load.size > quota.max_queued_mb * 1e6:
        return (
            f"{known.size / 1e6:.3g} MB are queued and {load.size / 1e6:.3g} MB added; "
            f"allowed: {quota.max_queued_mb:g} MB (max_queued_mb)"
        )
    return None
