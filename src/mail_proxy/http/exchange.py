"""One HTTP request and its answer, between a connection and an ASGI application."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

Headers = Iterable[tuple[bytes, bytes]]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: Up to this size, head and body of an answer are written as one piece.
_ONE_PIECE_BYTES = 65_536
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Link(Protocol):
    """Interface of a connection for its exchange."""

    write_paused: bool

    @property
    def default_headers(self) -> Headers:
        """Headers of every answer, such as the date."""

    def write(self, data: bytes) -> None:
        """Write a piece of an answer."""

    async def drained(self) -> None:
        """Wait until the client has read enough of the written octets."""

    def body_taken(self) -> None:
        """Go on reading: the application has taken the buffered body."""

    def may_keep(self, exchange: Exchange) -> bool:
        """Return whether the rest of an answered request is small enough to wait for."""

    def answered(self, exchange: Exchange) -> None:
        """Go on with the next request, or close."""


class Exchange:
    """A request, whose body may still arrive, and its answer.

    The connection fills in the request: ``add_body``, ``end_body``, ``disconnect``. The answer is
    given with ``begin_answer`` and ``add_answer``, which are plain functions: code that
    answers without an ASGI application calls them directly.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_head",
        "_is_fresh",
        "_link",
        "_missing",
        "_waiter",
        "begun_at",
        "body_left",
        "disconnected",
        "expects_continue",
        "headers",
        "is_answered",
        "is_on_wire",
        "is_received",
        "keep_alive",
        "method",
        "status",
        "target",
        "version",
    )

    def __init__(
        self,
        link: Link,
        method: str,
        target: bytes,
        version: str,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        #: When the head was complete (``perf_counter``).
        self.begun_at = time.perf_counter()
        self.keep_alive = False
        self.expects_continue = False
        #: Bytes of the body that have not arrived yet; None for a chunked body.
        self.body_left: int | None = 0
        self.is_received = False
        self.disconnected = False
        self.status: int | None = None
        self.is_on_wire = False
        self.is_answered = False
        self._link = link
        self._body: bytes | bytearray = b""
        self._is_fresh = False
        self._waiter: asyncio.Future[None] | None = None
        self._head: bytes | None = None
        self._chunked = False
        self._missing = 0

    def add_body(self, chunk: bytes) -> int:
        """Append to the body; return how many bytes the application has not taken yet."""
        if not self._body:
            self._body = chunk
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += chunk
        self._wake()
        return len(self._body)

    @property
    def body(self) -> bytes | bytearray:
        """Return the part of the body that has arrived and is not taken; it stays."""
        return self._body

    def end_body(self) -> None:
        """Mark the request as complete."""
        self.is_received = True
        self._wake()

    def disconnect(self) -> None:
        """Mark the client as gone: the application hears of it, and its answer is dropped."""
        self.disconnected = True
        self._wake()

    def _wake(self) -> None:
        self._is_fresh = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def begin_answer(self, status: int, headers: Headers) -> None:
        """Prepare status line and headers; the first piece of the body goes with them.

        The first one counts; without a Content-Length the body is chunked. ``Connection`` is
        decided here: ``close`` among the headers ends ``keep_alive``.
        """
        assert self.status is None, "the answer has begun already"
        self.status = status
        if not self.is_received:
            self.keep_alive = self.keep_alive and self._link.may_keep(self)
        length: int | None = None
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in (*self._link.default_headers, *headers):
            if b"\n" in name or b"\r" in name or b"\n" in value or b"\r" in value:
                raise ValueError("a header of an answer holds a line break")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                self.keep_alive = self.keep_alive and b"close" not in value.lower()
                continue
            lines += (name, b": ", value, b"\r\n")
        if length is None and self.method != "HEAD" and status not in (204, 304):
            self._chunked = self.version != "1.0"
            self.keep_alive = self.keep_alive and self._chunked
            lines.append(b"transfer-encoding: chunked\r\n" if self._chunked else b"")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._missing = length or 0
        self._head = b"".join(lines)

    def add_answer(self, body: bytes, *, more: bool) -> None:
        """Write a piece of the answer's body; with ``more`` false it is the last one."""
        if self.is_answered or self.disconnected:
            return
        data = self._framed(body, more)
        if self._head is not None:
            head, self._head = self._head, None
            self.is_on_wire = True
            if len(data) > _ONE_PIECE_BYTES:
                self._link.write(head)
            else:
                data = head + data
        if data:
            self._link.write(data)
        if not more:
            self.is_answered = True
            # A body that is shorter than was announced would leave the client waiting.
            self.keep_alive = self.keep_alive and not self._missing
            self._wake()
            self._link.answered(self)

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self.method == "HEAD":
            self._missing = 0
            return b""
        if not self._chunked:
            self._missing -= len(body)
            return body
        end = b"" if more else b"0\r\n\r\n"
        return b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let an ASGI application answer."""
        await app(scope, self.receive, self.send)

    async def receive(self) -> Message:
        """Return the next piece of the body, or the end of the connection (ASGI)."""
        if self.expects_continue and self.status is None and not self.disconnected:
            self.expects_continue = False
            self._link.write(_CONTINUE)
        if not (self._is_fresh or self.disconnected or self.is_answered):
            self._link.body_taken()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.disconnected or self.is_answered:
            return {"type": "http.disconnect"}
        self._is_fresh = False
        body, self._body = bytes(self._body), b""
        self._link.body_taken()
        return {"type": "http.request", "body": body, "more_body": not self.is_received}

    async def send(self, message: Message) -> None:
        """Write a piece of the answer, once the client has read enough of it (ASGI)."""
        if self._link.write_paused and not self.disconnected:
            await self._link.drained()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self.begin_answer(message["status"], message.get("headers", ()))
        else:
            self.add_answer(message.get("body", b""), more=message.get("more_body", False))
