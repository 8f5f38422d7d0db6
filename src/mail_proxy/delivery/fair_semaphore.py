"""Semaphore over SMTP transactions that serves tenants and accounts in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

#: A transaction that lasts longer waits for its server and costs this process almost nothing.
_COUNTED_SECONDS = 1.0
_Turns = deque[asyncio.Future[None]]


class FairSemaphore:
    """Bounds a process's concurrent SMTP transactions, fairly between accounts.

    A plain semaphore serves waiters in order of arrival, so a tenant with a thousand waiting
    messages would delay another tenant's by a thousand transactions. Here a free slot goes to
    the next tenant in turn, and to the next account of that tenant, so it is delayed by one.

    A transaction that lasts over a second keeps its slot, but the slot no longer counts and is
    given to another waiter too. So hanging servers cannot hold all slots. Their number is
    bounded by the connections of each account, and by how much the process has claimed.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        #: The waiters of each account of each tenant, in order of turn.
        self._queues: OrderedDict[str, OrderedDict[str, _Turns]] = OrderedDict()
        #: Slots that count, oldest first, and until when (time of the event loop).
        self._counted: dict[int, float] = {}
        self._last = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_wanted(self) -> bool:
        """True if an account waits for a slot."""
        return bool(self._queues)

    async def acquire(self, tenant_id: str, account_pk: str) -> int:
        """Wait for a slot and return its number for ``release``."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(tenant_id, account_pk)
        loop = asyncio.get_running_loop()
        self._last += 1
        self._counted[self._last] = until = loop.time() + _COUNTED_SECONDS
        if self._timer is None:
            self._timer = loop.call_at(until, self._stop_counting)
        return self._last

    def release(self, slot: int) -> None:
        """Give a slot back to the tenant and account whose turn it is."""
        if self._counted.pop(slot, None) is not None:
            self._pass_on()

    def _stop_counting(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        for slot, until in list(self._counted.items()):
            if until > now:
                self._timer = loop.call_at(until, self._stop_counting)
                break
            self.release(slot)

    async def _wait(self, tenant_id: str, account_pk: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        accounts = self._queues.setdefault(tenant_id, OrderedDict())
        accounts.setdefault(account_pk, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._queues:
            tenant_id, accounts = self._queues.popitem(last=False)
            account_pk, turns = accounts.popitem(last=False)
            turn = turns.popleft()
            if turns:
                accounts[account_pk] = turns
            if accounts:
                self._queues[tenant_id] = accounts
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
