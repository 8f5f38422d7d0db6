"""Clocks, which every part gets as an argument, so that tests can move the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall clock and monotonic clock of a process."""

    def now(self) -> float:
        """Return the wall clock in Unix seconds, UTC. It may jump: never measure with it."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point; they never go back."""
        ...


class SystemClock:
    """Clocks of the operating system."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
