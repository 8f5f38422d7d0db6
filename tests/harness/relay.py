"""What stands between two parts of a test and does to them what networks and locks do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mail_proxy.sql import Connection, SqlDb


class Relay:
    """Passes octets on to a port of loopback.

    While ``is_open`` is not set, nothing comes back. After ``lose_answer``, the connection on
    which both texts are said, in this order, ends when the server has answered the second one,
    and the answer does not arrive; ``lost`` is set then.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.lost = asyncio.Event()
        self._target = target
        self._fatal: list[bytes] = []
        self._loses = False
        self._tasks: set[asyncio.Task[None]] = set()

    def lose_answer(self, *texts: bytes) -> None:
        self._fatal = list(texts)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        there, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        back = asyncio.create_task(self._pass_back(there, writer))
        self._tasks.add(back)
        try:
            await self._pass_on(reader, to_server)
        except OSError:
            pass
        finally:
            back.cancel()
            to_server.close()
            writer.close()

    async def end(self) -> None:
        """Break every connection off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = 0
        while octets := await reader.read(2**16):
            if self._fatal and self._fatal[said] in octets:
                said += 1
            writer.write(octets)
            if self._fatal and said == len(self._fatal):
                self._fatal = []
                self._loses = True
                await self.lost.wait()
                return

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.read(2**16):
                await self.is_open.wait()
                if self._loses:
                    self._loses = False
                    self.lost.set()
                    return
                writer.write(octets)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[Relay]:
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1")
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay
        server.close()
        await relay.end()


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[None]:
    """Nobody else writes to ``table`` meanwhile; on SQLite to none."""
    db = SqlDb(url)
    loop, has_begun, is_over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work(connection: Connection) -> None:
        if db.adapter.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        loop.call_soon_threadsafe(has_begun.set)
        is_over.wait(120)

    working = asyncio.create_task(db.write(work))
    await has_begun.wait()
    try:
        yield
    finally:
        is_over.set()
        await working
        await db.close()
