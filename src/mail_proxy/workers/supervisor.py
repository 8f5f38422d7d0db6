"""Supervise the worker processes: start them, and start another when one ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from mail_proxy.errors import WorkerEnded
from mail_proxy.kit.bus import Bus, Reach
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.worker import Worker
from mail_proxy.telemetry.log import ServiceAction, log
from mail_proxy.telemetry.troubles import Troubles
from mail_proxy.workers.pipe import WorkerConfig, WorkerPipe, WorkerState

#: Added to ``shutdown_timeout`` before a process is killed: time to record its last outcomes.
_GRACE_SECONDS = 10.0
_START_SECONDS = 30.0
#: If a process ends sooner than this, each new start waits longer than the last.
_SHORT_LIFE_SECONDS = 30.0


class _Process:
    """Running worker process and the pipe to it."""

    def __init__(self, process: asyncio.subprocess.Process, pipe: WorkerPipe) -> None:
        self.process = process
        self.pipe = pipe
        self.delivers = False


class WorkerProcesses:
    """Service that delivers in worker processes, without a dispatcher in this one."""

    name = "delivery"
    #: As a transport: a fact goes to every worker process.
    reach = Reach.WORKERS

    def __init__(self, worker: WorkerConfig, count: int, metrics_folder: Path, bus: Bus) -> None:
        """Start ``count`` processes; they keep their counters in ``metrics_folder``."""
        self._worker = worker
        self._metrics_folder = metrics_folder
        self._bus = bus
        self._processes: set[_Process] = set()
        self._stopping = False
        self._troubles = Troubles()
        self._changed = asyncio.Condition()
        self._supervisors = [
            Worker(f"workers.{number}", partial(self._keep_one, number))
            for number in range(1, count + 1)
        ]
        bus.connect(self)

    @property
    def alive(self) -> bool:
        """True if at least one worker process runs and may send."""
        return any(process.delivers for process in self._processes)

    async def start(self) -> None:
        """Start the worker processes and wait for the first one that delivers.

        If none delivers within half a minute, log that and return: each is started again whenever
        it ends.
        """
        for supervisor in self._supervisors:
            supervisor.start()
        try:
            async with asyncio.timeout(_START_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self.alive)
        except TimeoutError:
            log(ServiceAction.WORKER_LATE, seconds=_START_SECONDS)

    def send(self, line: str) -> None:
        """Send a dumped fact to every worker process."""
        for each in self._processes:
            each.pipe.send(line)

    async def stop(self, deadline: float) -> None:
        """Ask each worker process to finish, then kill those that are late.

        A process finishes its messages in flight and releases the rest to the queue.
        """
        self._stopping = True
        for each in self._processes:
            each.pipe.write_eof()
            # One that was stopped (SIGSTOP) may hold a lock of the database; now it finishes too.
            with suppress(ProcessLookupError):
                each.process.send_signal(signal.SIGCONT)
        running = [asyncio.create_task(each.process.wait()) for each in self._processes]
        if running:
            timeout = seconds_until(deadline) + _GRACE_SECONDS
            _, late = await asyncio.wait(running, timeout=timeout)
            for task in late:
                task.cancel()
        for supervisor in self._supervisors:
            await supervisor.stop()  # kills late processes

    async def _keep_one(self, number: int) -> None:
        """Start a worker process and watch it until it ends.

        An end soon after the start raises WorkerEnded, except after a stop.
        """
        if self._stopping:
            await asyncio.Event().wait()
        started, key = asyncio.get_running_loop().time(), str(number)
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
            # The reason why a start fails is logged once, not by each of many starts.
            writer.write(self._worker.line(quiet=self._troubles.is_known(key)))
            await self._receive(_Process(process, WorkerPipe(reader, writer, Reach.WORKERS)))
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if not self._stopping:
            is_short = asyncio.get_running_loop().time() - started < _SHORT_LIFE_SECONDS
            if not is_short:
                self._troubles.end(key)
            if self._troubles.is_due(key):
                log(ServiceAction.WORKER_ENDED, worker=number, exit_status=code)
            if is_short:
                raise WorkerEnded(f"process ended soon, with status {code}")

    async def _receive(self, each: _Process) -> None:
        self._processes.add(each)
        try:
            while (facts := await each.pipe.receive()) is not None:
                for fact in facts:
                    if isinstance(fact, WorkerState):
                        await self._set_state(each, delivers=fact.delivers)
                    else:
                        self._bus.publish(fact, source=self)
        finally:
            self._processes.discard(each)
            each.pipe.close()

    async def _set_state(self, each: _Process, *, delivers: bool) -> None:
        async with self._changed:
            each.delivers = delivers
            self._changed.notify_all()
