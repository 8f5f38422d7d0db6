"""Watch of the process: returns freed memory to the system, logs a lack of files."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from mail_proxy.kit.worker import Worker
from mail_proxy.telemetry.log import Action, log

_PAUSE_SECONDS = 1.0
_LOG_PAUSE_SECONDS = 60.0
#: A trim costs a few milliseconds on a thread, so it is worth it for so much only.
_TRIM_BYTES = 32 * 2**20
_TRIM_PAUSE_SECONDS = 10.0
#: A process that has changed less since the last trim has nothing more to give back.
_SETTLED_BYTES = 8 * 2**20
#: With fewer free descriptors, the next log-in to a mail server may fail.
_SPARE_FILES = 16
_STATM = Path("/proc/self/statm")


class ProcessWatch:
    """Loop next to the service, once a second.

    ``release`` frees memory that is kept for later, such as caches, before a trim. It runs on a
    thread.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._worker = Worker("process watch", self._look)
        self._memory = MemoryTrim()
        self._files = DescriptorWatch()
        self._trim_at = 0.0

    def start(self) -> None:
        """Start the loop; needs a running event loop."""
        self._worker.start()

    async def stop(self) -> None:
        """End the loop. Stopping twice changes nothing."""
        await self._worker.stop()

    async def _look(self) -> None:
        await asyncio.sleep(_PAUSE_SECONDS)
        self._files.look()
        if time.monotonic() >= self._trim_at:
            self._trim_at = time.monotonic() + _TRIM_PAUSE_SECONDS
            if self._memory.is_due():
                await asyncio.to_thread(self._give_back)

    def _give_back(self) -> None:
        self._release()
        self._memory.trim()


class DescriptorWatch:
    """Logs that the process may open hardly any more files, at most once a minute.

    A new descriptor gets the lowest free number, so one that is close to the limit shows that
    nearly all are in use. The event loop closes connections that it has no descriptor for, and
    says nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log_at = 0.0

    def look(self) -> bool:
        """Return whether descriptors are short, and log it."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if most == resource.RLIM_INFINITY or _next_descriptor(most) < most - _SPARE_FILES:
            return False
        if self._clock() >= self._log_at:
            self._log_at = self._clock() + _LOG_PAUSE_SECONDS
            log(Action.DESCRIPTORS_SHORT, most=most)
        return True


class MemoryTrim:
    """Return of freed memory to the system, 32 MB above the least size.

    The C library keeps freed memory, so after a peak (a large request, an export) the process
    would stay as large as it ever was. Only glibc can be asked; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self._least_bytes = self._settled_bytes = resident_bytes()
        self._malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)

    def is_due(self) -> bool:
        """Return whether a trim is worth its price."""
        size = resident_bytes()
        self._least_bytes = min(self._least_bytes, size)
        has_grown = size > self._least_bytes + _TRIM_BYTES
        has_changed = abs(size - self._settled_bytes) > _SETTLED_BYTES
        return self._malloc_trim is not None and has_grown and has_changed

    def trim(self) -> None:
        """Give memory back; blocks for some milliseconds, so it runs on a thread."""
        if self._malloc_trim is not None:
            self._malloc_trim(0)
            self._settled_bytes = resident_bytes()


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _next_descriptor(most: int) -> int:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY)
    except OSError:
        return most
    os.close(descriptor)
    return descriptor
