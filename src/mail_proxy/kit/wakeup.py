"""Wakeup of one waiting loop; any number of rings before a wait count as one."""

from __future__ import annotations

import asyncio


class Wakeup:
    """Bell on which one loop sleeps until another part rings it.

    ``ring`` is cheap. Call it on the thread of the event loop only.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiting loop now, or let its next wait return at once."""
        self._event.set()

    async def wait(self, timeout_seconds: float | None) -> bool:
        """Sleep until the bell rings or the time is over; return True if it rang.

        Clears the bell. None waits without a time limit.
        """
        if not self._event.is_set():
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._event.wait()
            except TimeoutError:
                return False
        self._event.clear()
        return True
