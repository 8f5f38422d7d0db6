"""Thread next to the event loop, for work of more than a few milliseconds."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class SideThread:
    """Thread that runs functions one after the other, while the event loop goes on.

    One thread, not several: with each running thread the event loop waits longer for its turn.
    The thread starts with the first call and ends with the process.
    """

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Return the result of ``work(*arguments)``, which runs on the thread.

        Cancelling does not stop work that runs.
        """
        loop = asyncio.get_running_loop()
        run_here = contextvars.copy_context().run  # log lines name the request
        return await loop.run_in_executor(self._executor, run_here, work, *arguments)
