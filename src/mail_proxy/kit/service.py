"""The shape of everything that starts and stops with the proxy."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol


class Service(Protocol):
    """Part of a running instance that is started once and stopped once."""

    @property
    def name(self) -> str:
        """Name for logs and errors, unique in the instance."""

    @property
    def alive(self) -> bool:
        """Whether it does its work now."""

    async def start(self) -> None:
        """Begin to work. Raises DatabaseUnavailable if the first step needs the database."""

    async def stop(self, deadline: float) -> None:
        """Finish what is in flight by ``deadline`` (``time.monotonic``), then cancel the rest.

        Stopping a service that was never started, or twice, changes nothing.
        """


def seconds_until(deadline: float) -> float:
    """Return the time that is left until ``deadline``, at least 0."""
    return max(0.0, deadline - time.monotonic())


class Closing:
    """Service that needs no start: its end alone has a place in the order."""

    def __init__(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._close = close

    @property
    def alive(self) -> bool:
        """True: there is no loop that could have ended."""
        return True

    async def start(self) -> None:
        """Do nothing."""

    async def stop(self, deadline: float) -> None:
        """Close, however long that takes: what is in hand has its own bounds."""
        await self._close()
