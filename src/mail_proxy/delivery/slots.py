"""The process-wide bound on transactions, shared in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

#: A transaction that takes longer waits for its server and costs the process next to nothing.
_COUNTED_SECONDS = 1.0
_Turns = deque[asyncio.Future[None]]


class FairSlots:
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

    @asynccontextmanager
    async def slot(self, tenant_id: str, account_pk: str) -> AsyncIterator[None]:
        """Hold a slot inside the block."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(tenant_id, account_pk)
        counted = True

        def pass_on() -> None:
            nonlocal counted
            if counted:
                counted = False
                self._pass_on()

        timer = asyncio.get_running_loop().call_later(_COUNTED_SECONDS, pass_on)
        try:
            yield
        finally:
            timer.cancel()
            pass_on()

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
