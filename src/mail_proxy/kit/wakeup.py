"""A bell: any number of rings before a wait count as one."""

from __future__ import annotations

import asyncio


class Wakeup:
    """Lets one loop sleep until there is something to do.

    ``ring`` is cheap and must be called on the loop's own thread.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiter now, or let its next wait return at once."""
        self._event.set()

    async def wait(self, timeout_seconds: float | None) -> bool:
        """Sleep until rung or until the time is over; True when it was rung. Clears the bell."""
        if not self._event.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True
