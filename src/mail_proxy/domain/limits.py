"""Rate limits: at most so many messages in a sliding window."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE, HOUR, DAY = 60, 3600, 86_400
#: Width in seconds of the counters of each window. A counter leaves the window as a whole, with
#: its youngest message, so a window never holds more than its limit and lasts at most one width
#: longer than asked for: 1.7 % of a minute, 0.3 % of an hour, 0.07 % of a day.
WIDTHS = {MINUTE: 1, HOUR: 10, DAY: 60}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``most`` messages in any ``window`` seconds (one of MINUTE, HOUR, DAY)."""

    window: int
    most: int


def limits(
    minute: int | None = None, hour: int | None = None, day: int | None = None
) -> tuple[RateLimit, ...]:
    """Return the limits that are set; 0 and None mean no limit."""
    pairs = ((MINUTE, minute), (HOUR, hour), (DAY, day))
    return tuple(RateLimit(window, most) for window, most in pairs if most)


def bucket_at(window: int, instant: float) -> int:
    """Return the start (Unix seconds) of the counter that an instant falls into."""
    width = WIDTHS[window]
    return int(instant // width) * width


def leaves_at(window: int, bucket: int) -> int:
    """Return when the messages counted in a bucket leave the window (Unix seconds)."""
    return bucket + WIDTHS[window] + window


def admits_at(
    limit: RateLimit, buckets: list[tuple[int, int]], in_flight: int, now: float
) -> float | None:
    """Return when the window admits one more message: ``now`` or later.

    ``buckets`` are (start, count). None when messages in flight alone fill the window: then it
    depends on when they are done.
    """
    burden = sorted((leaves_at(limit.window, start), count) for start, count in buckets)
    burden = [(leaves, count) for leaves, count in burden if leaves > now]
    used = in_flight + sum(count for _, count in burden)
    if used < limit.most:
        return now
    for leaves, count in burden:
        used -= count
        if used < limit.most:
            return float(leaves)
    return None
