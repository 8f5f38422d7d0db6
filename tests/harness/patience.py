"""How long tests wait, so that a slow or busy machine is no reason for a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

#: Bound of every wait for something that a working product does within milliseconds.
PATIENCE_SECONDS = 120.0
#: Durations of which the first is enough on an idle machine, the last on any.
GROWING_SECONDS = (0.2, 2.0, 20.0)


async def with_growing_patience(
    attempt: Callable[[float], Awaitable[None]], durations: tuple[float, ...] = GROWING_SECONDS
) -> None:
    """Try a test that needs a real time-out with longer and longer ones until it succeeds.

    A time-out of milliseconds also ends waits that a busy machine only delays. A product that
    is broken fails with every duration, so the error of the last attempt is raised.
    """
    for seconds in durations[:-1]:
        try:
            return await attempt(seconds)
        except AssertionError:
            continue
    return await attempt(durations[-1])
