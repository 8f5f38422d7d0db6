"""UUIDs version 7 (RFC 9562 section 5.7), in order of creation within one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

#: Longest time by which an id is ahead of the clock that it was made from.
MOST_AHEAD_SECONDS = 60
_STAMPS_A_SECOND = 4096 * 1000
_RANDOM_BYTES = 8
#: Asked of the system at once: the call takes longer than the rest of an id.
_STORED = 256


class Uuid7Maker:
    """Makes UUIDs version 7 from the time of a clock, given in Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._last = 0
        self._tails: list[str] = []
        # A forked process must not make the ids that its parent makes.
        os.register_at_fork(after_in_child=self._tails.clear)
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return a new UUID as text of 36 characters.

        The 12 bits after the milliseconds hold the fraction of the millisecond (method 3 of RFC
        9562 section 6.2). They are pushed forward if two calls come in the same fraction, so the
        ids of one maker sort strictly by creation, also if the clock is set back by less than a
        minute. After a larger step they follow the clock: an id says when it was made.
        """
        stamp = int(self._now() * _STAMPS_A_SECOND)
        with self._lock:
            if 0 <= self._last - stamp < MOST_AHEAD_SECONDS * _STAMPS_A_SECOND:
                stamp = self._last + 1
            self._last = stamp
            if not self._tails:
                self._tails += _random_texts()
            tail = self._tails.pop()
        head = f"{stamp >> 12:012x}"
        variant = "89ab"[int(tail[0], 16) & 3]
        return f"{head[:8]}-{head[8:]}-7{stamp & 0xFFF:03x}-{variant}{tail[1:4]}-{tail[4:]}"


def _random_texts() -> list[str]:
    text, size = os.urandom(_RANDOM_BYTES * _STORED).hex(), 2 * _RANDOM_BYTES
    return [text[at : at + size] for at in range(0, len(text), size)]


#: For ids that no listing compares with a time.
uuid7 = Uuid7Maker()


def first_uuid7(at: float) -> str:
    """Return the smallest UUID version 7 of a time; ``at`` is in Unix seconds, from 0."""
    head = f"{min(int(at * 1000), (1 << 48) - 1):012x}"
    return f"{head[:8]}-{head[8:]}-7000-8000-000000000000"
