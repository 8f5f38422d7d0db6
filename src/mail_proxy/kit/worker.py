"""Background loops and jobs that survive every error.

No other module catches Exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mail_proxy.errors import DatabaseUnavailable, WorkerEnded
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.troubles import Troubles

Result = TypeVar("Result")

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class Worker:
    """Background loop that calls a coroutine function again and again until stopped.

    ``step`` does one round, including its own waiting. An error of ``step`` is logged and followed
    by a pause, which doubles from 0.5 to 30 seconds and starts again from 0.5 after a good round.
    The same error again and again is logged every few minutes.
    """

    def __init__(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._step = step
        self._task: asyncio.Task[None] | None = None
        self._troubles = Troubles()

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
                if pause > _FIRST_PAUSE_SECONDS:
                    self._recovered()
                pause = _FIRST_PAUSE_SECONDS
                continue
            except (DatabaseUnavailable, WorkerEnded) as error:
                # Of the database and of the process there is a line already.
                log(ServiceAction.LOOP_WAITS, loop=self.name, reason=error.message)
            except Exception as error:  # noqa: BLE001 - every loop survives; this is the one place
                if self._troubles.is_due(self.name):
                    log(ServiceAction.LOOP_FAILED, exception=error, loop=self.name, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _recovered(self) -> None:
        seconds = self._troubles.end(self.name)
        if seconds is not None:
            log(ServiceAction.LOOP_RESUMED, loop=self.name, seconds=seconds)


class Jobs:
    """Short background jobs, at most one at a time for each key.

    An error of a job is logged and ends that job alone. The part that starts jobs tries again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._troubles = Troubles()

    def __len__(self) -> int:
        """Return the number of running jobs."""
        return len(self._tasks)

    def start(self, key: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run ``job`` in the background, unless a job with this key already runs."""
        if key not in self._tasks:
            task = asyncio.create_task(self._run(key, job), name=f"{self.name} {key}")
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._tasks.pop(key))

    async def drained(self) -> None:
        """Wait until no job runs."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def stop(self, timeout_seconds: float) -> None:
        """Wait ``timeout_seconds`` for the running jobs, then cancel the rest."""
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks.values()), timeout=timeout_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: str, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
            self._troubles.end(key)
        except DatabaseUnavailable as error:
            log(ServiceAction.JOB_WAITS, loop=self.name, job=key, reason=error.message)
        except Exception as error:  # noqa: BLE001 - one job's error must not reach the others
            if self._troubles.is_due(key):
                log(ServiceAction.JOB_FAILED, exception=error, loop=self.name, job=key)


def value_of(work: Callable[..., Result], *arguments: Any) -> Result | Exception:
    """Return the result of ``work``, or its error as a value.

    For work on one message, whose error must not end the others.
    """
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001 - as in ``as_value``
        return error


async def as_value(work: Awaitable[Result]) -> Result | Exception:
    """Return the result of ``work``, or its error as a value.

    For code that users pass in, which may raise any error.
    """
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - foreign code may raise any error
        return error
