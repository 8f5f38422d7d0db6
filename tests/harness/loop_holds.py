"""Measures how long work next to the event loop keeps it from its turn."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any

from mail_proxy.errors import MailProxyError


@contextmanager
def switching_as_in_a_service() -> Iterator[None]:
    """Switch threads as often as a serving process does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0001)
    yield
    sys.setswitchinterval(before)


def of_others() -> float:
    """The processor time of every thread except this one."""
    return time.process_time() - time.thread_time()


async def longest_hold(
    work: Callable[[], Awaitable[Any]], clock: Callable[[], float] = of_others
) -> float:
    """Return the longest time by ``clock`` between two turns of the event loop."""
    turns: list[float] = []

    async def take_turns() -> None:
        while True:
            turns.append(clock())
            await asyncio.sleep(0.0002)

    taking = asyncio.create_task(take_turns())
    await asyncio.sleep(0)
    with suppress(MailProxyError):
        await work()
    turns.append(clock())
    taking.cancel()
    return max(after - before for before, after in pairwise(turns))


async def shortest_of(
    times: int, work: Callable[[], Awaitable[Any]], clock: Callable[[], float] = of_others
) -> float:
    """Return the shortest hold of several runs: the system may keep the loop from its turn."""
    return min([await longest_hold(work, clock) for _ in range(times)])
