"""Services: the parts of an instance that start and stop with it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol


class Service(Protocol):
    """Part of an instance that is started once and stopped once."""

    @property
    def name(self) -> str:
        """Name for logs and errors, unique in the instance."""

    @property
    def alive(self) -> bool:
        """True if the service does its work now."""

    async def start(self) -> None:
        """Start the service.

        Raises DatabaseUnavailable if its first step needs the database.
        """

    async def stop(self, deadline: float) -> None:
        """Finish work in flight by ``deadline``, then cancel the rest.

        ``deadline`` is an instant of ``time.monotonic``.
        Stopping a service that was never started, or twice, changes nothing.
        """


def seconds_until(deadline: float) -> float:
    """Return the seconds until ``deadline`` (``time.monotonic``), at least 0."""
    return max(0.0, deadline - time.monotonic())


class Closing:
    """Service without a start: it only closes a part in the order of the services."""

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
        """Close the part. Work in flight has its own time limits, not ``deadline``."""
        await self._close()
