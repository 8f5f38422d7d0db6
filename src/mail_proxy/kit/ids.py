"""UUIDs version 7 (RFC 9562 section 5.7), in order of creation within one process."""

from __future__ import annotations

import os
import threading
import time

_last = 0
_lock = threading.Lock()


def uuid7() -> str:
    """Return a new UUID version 7 as text of 36 characters.

    The 12 bits after the milliseconds hold the fraction of the millisecond (method 3 of RFC
    9562 section 6.2). They are pushed forward if two calls come in the same fraction, so the ids
    of one process sort strictly by creation, also when the clock is set back.
    """
    global _last
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    stamp = (milliseconds << 12) | (rest * 4096 // 1_000_000)
    with _lock:
        if stamp <= _last:
            stamp = _last + 1
        _last = stamp
    tail = os.urandom(8).hex()
    head = f"{stamp >> 12:012x}"
    variant = "89ab"[int(tail[0], 16) & 3]
    return f"{head[:8]}-{head[8:]}-7{stamp & 0xFFF:03x}-{variant}{tail[1:4]}-{tail[4:]}"
