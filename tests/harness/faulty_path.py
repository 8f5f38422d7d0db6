"""The network between the proxy and its SMTP server, with faults on demand."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from tests.harness.processes import free_port

Result = TypeVar("Result")
_CHUNK_BYTES = 65536
_STOP_SECONDS = 10


class FaultyPath:
    """Forwards TCP on loopback to ``target``, each chunk ``delay_seconds`` late.

    Runs on a thread of its own, so that it goes on while the benchmark waits.
    """

    def __init__(self, target: int, delay_seconds: float = 0.0) -> None:
        self.port = free_port()
        self.connections = 0
        self._target = target
        self.delay_seconds = delay_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        self._loop.close()

    def cut(self) -> int:
        """Break every open connection, whatever is under way; returns how many."""
        return self._run(self._cut())

    def refuse(self) -> None:
        """New connections are refused from now on; the open ones go on."""
        self._run(self._stop_listening())

    def accept(self) -> None:
        """New connections are let through again."""
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STOP_SECONDS)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)

    async def _stop_listening(self) -> None:
        # Not waiting for its end: that would be the end of the open connections too.
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> int:
        writers = list(self._open)
        for writer in writers:
            writer.transport.abort()
        return len(writers) // 2

    async def _close(self) -> None:
        await self._stop_listening()
        await self._cut()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        self._open.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(there_writer)
            self.connections += 1
            try:
                await asyncio.gather(
                    self._pump(reader, there_writer), self._pump(there_reader, writer)
                )
            finally:
                there_writer.transport.abort()
                self._open.discard(there_writer)
        except (OSError, asyncio.CancelledError):
            pass  # cut, or closing: asyncio's stream server complains about cancelled handlers
        finally:
            writer.transport.abort()
            self._open.discard(writer)
            self._pumps.discard(task)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK_BYTES):
            await asyncio.sleep(self.delay_seconds)
            target.write(data)
            await target.drain()
        with contextlib.suppress(OSError):
            target.write_eof()
