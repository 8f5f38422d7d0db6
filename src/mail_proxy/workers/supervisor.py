"""Starts the delivering processes, and starts them again where one ends."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from mail_proxy.errors import WorkerEnded
from mail_proxy.kit.worker import Worker
from mail_proxy.telemetry.log import Action, log
from mail_proxy.workers.pipe import (
    CLOCK_SET_BACK,
    DELIVERS,
    EVENTS_ADDED,
    STANDS_STILL,
    WAKE,
    WorkerConfig,
    next_messages,
)

#: Added to ``shutdown_timeout`` before a process is killed: it writes its last outcomes then.
_GRACE_SECONDS = 10.0
_START_SECONDS = 30.0
#: After a shorter life than this, each new process waits longer than the last.
_SHORT_LIFE_SECONDS = 30.0


class _Process:
    """One delivering process, while it lives."""

    def __init__(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self.writer = writer
        self.delivers = False

    def tell(self, message: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(message)


class WorkerProcesses:
    """Stands in for the dispatcher where that runs in processes of its own."""

    def __init__(
        self,
        orders: WorkerConfig,
        count: int,
        metrics_folder: Path,
        events_added: Callable[[], None],
    ) -> None:
        """``metrics_folder`` is where the processes keep their counters.

        ``events_added`` is called after they have written outcomes.
        """
        self._orders = orders
        self._metrics_folder = metrics_folder
        self._events_added = events_added
        self._processes: set[_Process] = set()
        self._stopping = False
        self._changed = asyncio.Condition()
        self._supervisors = [
            Worker(f"workers.{number}", partial(self._keep_one, number))
            for number in range(1, count + 1)
        ]

    @property
    def alive(self) -> bool:
        """Whether at least one runs and may send."""
        return any(process.delivers for process in self._processes)

    async def start(self) -> None:
        """Start them, and wait for the first one that delivers.

        Where none does in half a minute, they are still tried again and again.
        """
        for supervisor in self._supervisors:
            supervisor.start()
        try:
            async with asyncio.timeout(_START_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self.alive)
        except TimeoutError:
            log(Action.WORKER_LATE, seconds=_START_SECONDS)

    def messages_added(self, account_pks: Collection[str]) -> None:
        """Some accounts have got messages."""
        self.wake()

    def wake(self) -> None:
        """There may be something due now."""
        self._tell(WAKE)

    def clock_set_back(self) -> None:
        """What is known of times to come holds no longer."""
        self._tell(CLOCK_SET_BACK)

    async def stop(self) -> None:
        """Let each finish what is in flight within ``shutdown_timeout`` and hand back the rest."""
        self._stopping = True
        for each in self._processes:
            each.writer.write_eof()
        timeout = self._orders.config.timing.shutdown_timeout + _GRACE_SECONDS
        running = [asyncio.create_task(each.process.wait()) for each in self._processes]
        if running:
            _, late = await asyncio.wait(running, timeout=timeout)
            for task in late:
                task.cancel()
        for supervisor in self._supervisors:
            await supervisor.stop()  # kills what is late

    def _tell(self, message: bytes) -> None:
        for each in self._processes:
            each.tell(message)

    async def _keep_one(self, number: int) -> None:
        """Start a process and look after it until it ends, which only a stop makes right."""
        if self._stopping:
            await asyncio.Event().wait()
        started = asyncio.get_running_loop().time()
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mail_proxy.workers",
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self._metrics_folder)},
            )
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            writer.write(self._orders.line())
            await self._listen(_Process(process, writer), reader)
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if not self._stopping:
            log(Action.WORKER_ENDED, worker=number, exit_status=code)
            if asyncio.get_running_loop().time() - started < _SHORT_LIFE_SECONDS:
                raise WorkerEnded(f"process ended soon, with status {code}")

    async def _listen(self, each: _Process, reader: asyncio.StreamReader) -> None:
        self._processes.add(each)
        try:
            while messages := await next_messages(reader):
                if EVENTS_ADDED in messages:
                    self._events_added()
                if messages & {DELIVERS, STANDS_STILL}:
                    await self._note(each, delivers=DELIVERS in messages)
        finally:
            self._processes.discard(each)
            each.writer.close()

    async def _note(self, each: _Process, *, delivers: bool) -> None:
        async with self._changed:
            each.delivers = delivers
            self._changed.notify_all()
