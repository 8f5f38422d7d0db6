"""The supervised loop: the one place that survives every error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mail_proxy.errors import DatabaseUnavailable

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class Worker:
    """Runs one coroutine function again and again until it is stopped.

    ``step`` does one round and returns; it does its own waiting. What it raises is logged and
    followed by a pause that doubles from 0.5 to 30 seconds and falls back after a good round.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._step = step
        self._task: asyncio.Task[None] | None = None
        self._log = logging.getLogger(f"mail_proxy.{name}")

    @property
    def alive(self) -> bool:
        """True while the loop runs."""
        return self._task is not None and not self._task.done()

    def start(self) -> None:
        """Start the loop; needs a running event loop. Starting twice changes nothing."""
        if not self.alive:
            self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Cancel the loop and wait for its end. Stopping twice changes nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._step()
                pause = _FIRST_PAUSE_SECONDS
                continue
            except DatabaseUnavailable as error:
                self._log.warning("action=%s.wait reason=%s", self.name, error)
            except Exception:  # noqa: BLE001 - every loop survives; this is the one place
                self._log.exception("action=%s.failed retry_in=%.1fs", self.name, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
