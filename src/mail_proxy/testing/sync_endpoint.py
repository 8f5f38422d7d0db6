"""Sync endpoint of an application: an HTTP server on loopback, for tests."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import orjson
from standardwebhooks import Webhook

_WAIT_SECONDS = 60.0  # generous: only an endpoint that is never called reaches it


@dataclass(frozen=True)
class Reply:
    """Answer of the endpoint to one call.

    ``json`` is sent as JSON, or ``body`` in its place unchanged. ``raw`` replaces the whole
    answer, and need not be HTTP. With ``after`` the answer waits for that event. With ``hangs`` it
    never comes.
    """

    json: Any = field(default_factory=dict)
    status: int = 200
    body: bytes | None = None
    raw: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: asyncio.Event | None = None
    hangs: bool = False

    def to_bytes(self, *, keeps_open: bool = False) -> bytes:
        """Return the answer as octets: HTTP head and body, or ``raw``."""
        if self.raw is not None:
            return self.raw
        body = orjson.dumps(self.json) if self.body is None else self.body
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "keep-alive" if keeps_open else "close",
            **self.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} X\r\n{head}\r\n".encode() + body


@dataclass(frozen=True)
class ReportCall:
    """Report call as it arrived; header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The entries of ``delivery_report``."""
        reports: list[dict[str, Any]] = orjson.loads(self.body)["delivery_report"]
        return reports

    @property
    def ids(self) -> list[str]:
        """The message ids of the entries, in order."""
        return [report["id"] for report in self.reports]

    def verify(self, secret: str) -> None:
        """Check the signature with a tenant's ``signing_secret``.

        Raises ``standardwebhooks.WebhookVerificationError`` if the signature is missing or wrong,
        or its time more than five minutes from now.
        """
        Webhook(secret).verify(self.body, dict(self.headers))


class SyncEndpoint:
    """HTTP server that records every report call and answers by a script.

        async with SyncEndpoint() as endpoint:
            endpoint.script(Reply(status=500), Reply({"ok": True, "queued": 2}))
            ...                       # let the proxy report to endpoint.url
            first, second = await endpoint.wait_for(2)

    Scripted replies are used once each, in order; afterwards every call gets ``default``, which
    may be a function of the call.
    """

    def __init__(
        self,
        default: Reply | Callable[[ReportCall], Reply] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        keeps_open: bool = False,
    ) -> None:
        """Speak HTTPS with ``tls``; take many calls a connection with ``keeps_open``."""
        self.default = default or Reply({"ok": True})
        self.calls: list[ReportCall] = []
        self.connections = 0
        self._tls = tls
        self._keeps_open = keeps_open
        self.busy = 0
        self.most_busy = 0
        self._script: deque[Reply | Callable[[ReportCall], Reply]] = deque()
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Base URL, ``http://127.0.0.1:<port>``, or ``https`` with TLS."""
        if self._server is None:
            raise RuntimeError("the endpoint is not started")
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def script(self, *replies: Reply | Callable[[ReportCall], Reply]) -> None:
        """Append replies for the next calls, or functions that make them."""
        self._script.extend(replies)

    async def wait_for(self, count: int, timeout: float = _WAIT_SECONDS) -> list[ReportCall]:
        """Wait for at least ``count`` calls and return all calls.

        Raises TimeoutError after ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: len(self.calls) >= count)
        return list(self.calls)

    async def wait_for_report(self, id_: str, timeout: float = _WAIT_SECONDS) -> ReportCall:
        """Wait for a call that reports the message ``id_`` and return it.

        Raises TimeoutError after ``timeout`` seconds.
        """
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(lambda: any(id_ in call.ids for call in self.calls))
        return next(call for call in self.calls if id_ in call.ids)

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)

    async def stop(self) -> None:
        """Stop listening and drop the calls that still wait for their answer."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for task in list(self._answering):
                task.cancel()
            await asyncio.gather(*self._answering, return_exceptions=True)
            await server.wait_closed()

    async def __aenter__(self) -> SyncEndpoint:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                call = await _read_call(reader)
                self.busy += 1
                self.most_busy = max(self.busy, self.most_busy)
                try:
                    writer.write(await self._reply_to(call, reader))
                finally:
                    self.busy -= 1
                await writer.drain()
                if not self._keeps_open:
                    return
        except (OSError, asyncio.IncompleteReadError):
            return  # the caller went away
        finally:
            writer.close()

    async def _reply_to(self, call: ReportCall, reader: asyncio.StreamReader) -> bytes:
        reply = self._script.popleft() if self._script else self.default
        if not isinstance(reply, Reply):
            reply = reply(call)
        async with self._arrived:
            self.calls.append(call)
            self._arrived.notify_all()
        if reply.after is not None:
            await reply.after.wait()
        if reply.hangs:
            await reader.read()  # until the caller gives up
            raise ConnectionAbortedError
        return reply.to_bytes(keeps_open=self._keeps_open)


async def _read_call(reader: asyncio.StreamReader) -> ReportCall:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request, *lines = head.rstrip().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ReportCall(request.split(" ")[1], headers, body)
