"""An HTTP server on loopback that serves files to attachments, well or badly"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_ENDLESS_PIECE = b"x" * 65536


@dataclass(frozen=True)
class FileCall:
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class File:
    """Answer to a path.

    ``length`` is what Content-Length says, None for chunks; default: the truth. ``endless`` sends
    content after the body for ever, ``hangs`` nothing and never ends. ``gate`` holds the answer.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = -1
    endless: bool = False
    hangs: bool = False
    gate: asyncio.Event | None = None


Answer = File | Callable[[FileCall], File]


def zipped(body: bytes, **fields: object) -> File:
    """A file that the server compresses though nobody asked for it."""
    return File(gzip.compress(body, mtime=0), headers={"Content-Encoding": "gzip"})


class FileServer:
    """Serves ``files`` by path, and records each call."""

    def __init__(self) -> None:
        self.files: dict[str, Answer] = {}
        self.calls: list[FileCall] = []
        self.at_once = self.most_at_once = 0
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._answer(await _read(reader), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.at_once -= 1
            writer.close()

    async def _answer(self, call: FileCall, writer: asyncio.StreamWriter) -> None:
        self.calls.append(call)
        found = self.files.get(call.path, File(status=404))
        file = found if isinstance(found, File) else found(call)
        if file.gate is not None:
            await file.gate.wait()
        headers = {"Connection": "close", **file.headers}
        if file.length is not None:
            headers["Content-Length"] = str(len(file.body) if file.length < 0 else file.length)
        lines = [f"HTTP/1.1 {file.status} X", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + file.body)
        await writer.drain()
        while file.endless:
            writer.write(_ENDLESS_PIECE)
            await writer.drain()
        if file.hangs:
            await asyncio.Event().wait()


async def _read(reader: asyncio.StreamReader) -> FileCall:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return FileCall(method, path, headers, body)


@asynccontextmanager
async def file_server(host: str = "127.0.0.1") -> AsyncIterator[FileServer]:
    """Serve until the end of the block."""
    serving = FileServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # at the end of the test
            await serving._serve(reader, writer)

    server = await asyncio.start_server(serve, host, 0)
    serving.port = server.sockets[0].getsockname()[1]
    try:
        yield serving
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
