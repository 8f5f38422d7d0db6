"""The process-wide bound on transactions, shared in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

#: A transaction that takes longer waits for its server and costs the process next to nothing.
_COUNTED_SECONDS = 1.0
_Turns = deque[asyncio.Future[None]]


class FairSemaphore:
    """A semaphore whose free slots go to tenants, and accounts of one, in turn, not to the
    longest queue: a thousand waiting transactions delay another tenant's by one.

    Who holds a slot for over a second keeps it, but does not count any more, so that servers
    that hang cannot hold all of them. How many such there are is bounded by the connections of
    each account, and by what the process has claimed.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        #: Tenants, their accounts, and who waits.
        self._queues: OrderedDict[str, OrderedDict[str, _Turns]] = OrderedDict()
        #: Slots that count, oldest first, and until when.
        self._counted: dict[int, float] = {}
        self._last = 0
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, tenant_id: str, account_pk: str) -> int:
        """Take a slot; its number is for ``release``."""
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
        """Give a slot back: it goes to the tenant and account whose turn it is."""
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
