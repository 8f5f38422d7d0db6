"""A clock that moves when a test says so."""

from __future__ import annotations


class FakeClock:
    """Both readings advance together, from ``now`` (Unix seconds) and from zero."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._started_at = now
        self._elapsed = 0.0

    def now(self) -> float:
        return self._started_at + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds
