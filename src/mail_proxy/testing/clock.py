"""A clock that stands still until it is moved."""

from __future__ import annotations


class FakeClock:
    """For the ``clock`` parameter of the proxy's parts. Loops still wait in real time."""

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
