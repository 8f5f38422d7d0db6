"""Free space of the disk that a folder is on."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from mail_proxy.errors import DiskShort
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.troubles import Troubles

#: Free space is asked for at most once in this time, however many calls come.
_KEPT_SECONDS = 1.0
#: Space that must be free before new work is taken again, so that it does not come and go.
_ENOUGH = 1.1


def free_bytes(folder: Path) -> int:
    """Return how many bytes a process without special rights may still write."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


class FreeDisk:
    """Check of free disk space: refuse new work below ``least_bytes``, log the change."""

    def __init__(
        self,
        folder: Path | None,
        least_bytes: int,
        free: Callable[[Path], int] = free_bytes,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the ``folder`` to check; None if the database is on another machine.

        Without a folder there is always enough space.
        """
        self._folder = folder
        self._least_bytes = least_bytes
        self._free = free
        self._monotonic = monotonic
        self._asked = float("-inf")
        self._is_short = False
        self._troubles = Troubles(monotonic)
        self._last = 0

    async def check(self) -> None:
        """Raise DiskShort if too little is free."""
        if not self._least_bytes:
            return
        await self.free()
        if self._is_short:
            raise DiskShort(DiskShort.summary)

    @property
    def is_enough(self) -> bool:
        """True if ``check`` would pass without asking the system."""
        is_known = self._folder is None or self._monotonic() - self._asked < _KEPT_SECONDS
        return not self._least_bytes or (is_known and not self._is_short)

    async def free(self) -> int | None:
        """Return the free bytes; None if the database is on another machine."""
        if self._folder is None:
            return None
        now = self._monotonic()
        if now - self._asked >= _KEPT_SECONDS:
            self._asked = now
            # On a thread: a network file system may take its time.
            self._note(await asyncio.to_thread(self._free, self._folder))
        return self._last

    def _note(self, free: int) -> None:
        self._last = free
        was_short = self._is_short
        self._is_short = free < self._least_bytes * (_ENOUGH if was_short else 1)
        disk = str(self._folder)
        if self._is_short:
            if self._troubles.is_due(disk):
                log(ServiceAction.DISK_SHORT, megabytes=free / 1e6)
        elif self._troubles.end(disk) is not None:
            log(ServiceAction.DISK_ENOUGH, megabytes=free / 1e6)
