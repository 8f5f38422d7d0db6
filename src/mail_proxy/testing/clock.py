"""Clocks in the test's hands."""

from __future__ import annotations

import time


class FakeClock:
    """Stands still until it is moved. For the ``clock`` parameter of the proxy's parts; loops
    still wait in real time."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        """``now`` is in Unix seconds."""
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now += seconds


class JumpingClock:
    """The machine's clock, whose wall time can be set while everything runs on."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back where ``seconds`` is negative."""
        self._ahead += seconds
