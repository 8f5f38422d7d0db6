"""Clocks that a test can move."""

from __future__ import annotations

import time


class FakeClock:
    """Clock that stands still until a test moves it.

    For the ``clock`` parameter of the proxy's parts. Loops still wait in real time.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        """Set the clock to ``now``, in Unix seconds."""
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds


class JumpingClock:
    """Clock of the machine, whose wall time a test can set forward or back."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back if ``seconds`` is negative."""
        self._ahead += seconds
