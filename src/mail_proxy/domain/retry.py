"""Schedule of further attempts after temporary failures."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_JITTER = 0.1


@dataclass(frozen=True)
class RetryStrategy:
    """Delays (seconds) after the first, second, ... failure; the last one repeats."""

    delays: Sequence[float] = (60, 300, 900, 3600, 7200, 14_400, 28_800, 43_200)
    max_retries: int = 8
    random: Callable[[], float] = random.random

    def delay_seconds(self, retries: int) -> float | None:
        """Return the delay after ``retries`` used retries, in seconds; None to give up.

        Up to 10 % is added so that messages that failed together do not return together.
        """
        if retries >= self.max_retries:
            return None
        delay = self.delays[min(retries, len(self.delays) - 1)]
        return delay * (1 + _JITTER * self.random())
