"""Budget of the request bodies that a process holds in memory at the same time."""

from __future__ import annotations

import asyncio
from collections import defaultdict

#: Parts of the budget. One tenant, or one address, has one of them.
_SHARES = 16


class BodyBudget:
    """Bytes of request bodies in memory, over all calls of the process.

    A tenant or an address has a share of a sixteenth, so that one of them cannot keep the others
    waiting. A body that is larger than the share is admitted if its owner has no other one, and a
    body that is larger than the budget if there is no other one at all. Bodies are admitted in the
    order of their arrival, but no owner waits because another one's share is used up.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = defaultdict(int)
        self._waiting: list[tuple[str, int, asyncio.Future[None]]] = []
        self._most_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the bodies that are admitted."""
        return sum(self._held.values())

    async def take(self, owner: str, size: int, most_bytes: int) -> None:
        """Wait until there is room for a body of ``size`` bytes, and take it.

        ``most_bytes`` is the budget. Cancelling takes nothing.
        """
        self._most_bytes = most_bytes
        if not self._waiting and self._fits(owner, size):
            self._held[owner] += size
            return
        place = owner, size, asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        try:
            await place[2]
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
                self._admit()
            else:
                self.give_back(owner, size)
            raise

    def give_back(self, owner: str, size: int) -> None:
        """Release the room of a body, and admit those that have waited for it."""
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]
        self._admit()

    def _admit(self) -> None:
        for place in list(self._waiting):
            owner, size, admitted = place
            if admitted.done():
                continue  # cancelled just now
            if self._fits(owner, size):
                self._held[owner] += size
                self._waiting.remove(place)
                admitted.set_result(None)
            elif self._fits_share(owner, size):
                return  # it is next; smaller ones must not overtake it for ever

    def _fits(self, owner: str, size: int) -> bool:
        held = self.held_bytes
        return self._fits_share(owner, size) and (not held or held + size <= self._most_bytes)

    def _fits_share(self, owner: str, size: int) -> bool:
        held = self._held.get(owner, 0)
        return not held or held + size <= self._most_bytes // _SHARES
