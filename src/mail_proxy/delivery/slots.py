"""The process-wide bound on transactions, shared in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class FairSlots:
    """A semaphore whose free slots go to the owners in turn, not to the longest queue.

    An owner (a tenant) with a thousand waiting transactions delays another owner's by one.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def acquire(self, owner: str) -> None:
        """Take a slot, to be given back by ``release``."""
        if self._free > 0 and not self._queues:
            self._free -= 1
        else:
            await self._wait(owner)

    async def _wait(self, owner: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back: it goes to the owner whose turn it is."""
        while self._queues:
            owner, queue = self._queues.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._queues[owner] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
