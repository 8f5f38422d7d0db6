"""HTTP/1.1 connection that answers one request at a time, within bounds.

The bounds are on the size of requests, and on the time that their client takes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import orjson

from mail_proxy.errors import NotHttp, NotRunning, TooManyConnections, TooSlow
from mail_proxy.http import limits
from mail_proxy.http.deadline import Deadline
from mail_proxy.http.exchange import Exchange, Headers
from mail_proxy.http.reader import FAILED, Refusal, RequestReader
from mail_proxy.telemetry.log import Action, log

if TYPE_CHECKING:
    from mail_proxy.http.uvicorn_server import Server

Address = tuple[str, int | None] | None

_LATE = Refusal(b"408 Request Timeout", "the request did not arrive in time", TooSlow)
_STOPPING = Refusal(b"503 Service Unavailable", "the proxy is stopping", NotRunning)
_FULL = Refusal(b"503 Service Unavailable", "too many connections", TooManyConnections)
_NO_TARGET = Refusal(b"400 Bad Request", "the request's target is not a path", NotHttp)


class HttpProtocol(asyncio.Protocol):
    """HTTP connection that answers its requests in turn.

    It closes if a request is too large or too slow, or if an answer is not read.

    While ``_current`` is answered, at most one piece is parsed ahead; reading is paused while a
    request waits. Between requests the connection is closed after the server's keep-alive time.
    """

    def __init__(self, server: Server) -> None:
        self.address = ""
        self.client_address: Address = None
        self.server_address: Address = None
        self.scheme = "http"
        self.write_paused = False
        self.transport: asyncio.Transport
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(self)
        self._current: Exchange | None = None
        self._waiting: deque[Exchange | Refusal] = deque()
        self._is_ending = False
        self._awaits_whole = False
        self._read_paused = False
        self._lingered_bytes = 0
        self._deadline = Deadline(self._loop)
        self._stall = Deadline(self._loop)
        self._drained: asyncio.Future[None] | None = None
        self._stalled_at = self._stalled_seconds = 0.0
        self._sent_bytes = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or answer 503 if there is no room."""
        self.transport = transport  # type: ignore[assignment]
        # Once, because each of them is a system call.
        self.client_address = _address(transport, "peername")
        self.server_address = _address(transport, "sockname")
        self.scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self.address = self.client_address[0] if self.client_address is not None else ""
        if self._server.connections.add(self):
            self._server.opened(self)
            self._deadline.set(self._server.limits.request_seconds, self._late)
        else:
            self._write_refusal(_FULL)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; the application of an open request hears of it."""
        self._server.connections.remove(self)
        self._server.closed(self)
        self._deadline.stop()
        self._stall.stop()
        self._is_ending = True
        self._reader.stop()
        self._waiting.clear()
        if self._current is not None:
            self._current.disconnect()
            if self._awaits_whole:
                self._serve(self._current)
        self._wake_senders()

    def data_received(self, data: bytes) -> None:
        """Parse, or keep for later, or discard after the last answer."""
        if self._is_ending:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > limits.LINGER_BYTES:
                self.abort()
            return
        if self._waiting or self._reader.rest:
            self._reader.rest += data
        else:
            self._reader.feed(data)
        if self._waiting:
            self._pause_reading()

    def pause_writing(self) -> None:
        """Give the client a limited time to read the written octets."""
        self.write_paused = True
        self._stalled_at = self._loop.time()
        allowed = self._server.limits.request_seconds - self._stalled_seconds
        allowed += self._sent_bytes / limits.SLOWEST_BYTES_PER_SECOND
        self._stall.set(max(allowed, 0.0), self.abort)
        self._server.connections.stalls(self, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        self._stalled_seconds += self._loop.time() - self._stalled_at
        self._stall.clear()
        self._server.connections.flows(self)
        self._wake_senders()
        if self._current is None:
            self._go_on()

    # What the server calls.

    @property
    def is_idle(self) -> bool:
        """True if no request is being worked on, or its client does not read the answer."""
        return self.write_paused or self._current is None or self._current.is_answered

    def abort(self) -> None:
        """Close at once, and drop octets that are not written yet."""
        self._is_ending = True
        self.transport.abort()

    def shutdown(self) -> None:
        """Close after the answer in progress, or at once if there is none (uvicorn)."""
        self._waiting.clear()
        if self._current is not None:
            self._current.keep_alive = False
        if self._current is None or self._current.is_received:
            # Otherwise its body is still read, and the reader stops at its end.
            self._reader.stop()
        if self._current is None:
            self._close()

    def ended(self, exchange: Exchange, *, failed: bool) -> None:
        """Answer for an application that ended without an answer.

        It returned, failed or was cancelled.
        """
        if exchange.is_answered or exchange.disconnected:
            return
        exchange.disconnect()
        if exchange.is_on_wire:
            self.abort()
        else:
            self._end_with(FAILED if failed else _STOPPING)

    # What the exchange calls.

    @property
    def default_headers(self) -> Headers:
        """Headers of every answer, such as the date."""
        return self._server.default_headers

    def write(self, data: bytes) -> None:
        """Write a piece of an answer."""
        self._sent_bytes += len(data)
        self.transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read enough of the written octets."""
        if self._drained is None:
            self._drained = self._loop.create_future()
        await asyncio.shield(self._drained)

    def body_taken(self) -> None:
        """Go on reading: the application has taken the buffered body."""
        if self._read_paused and not (self._waiting or self._reader.rest):
            self._resume_reading()

    def may_keep(self, exchange: Exchange) -> bool:
        """Return whether the rest of an answered request is small enough to wait for."""
        left = exchange.body_left
        is_small = left is not None and left <= limits.SMALL_REST_BYTES
        return is_small and not exchange.expects_continue

    def answered(self, exchange: Exchange) -> None:
        """Go on with the next request, wait for the rest of this one, or close."""
        self._server.count()
        if self.transport.is_closing():
            return
        if exchange.is_received:
            self.completed(exchange)
        elif exchange.keep_alive:
            self._deadline.set(limits.LINGER_SECONDS, self._end)
            self._resume_reading()
        else:
            self._end()

    # What the reader calls.

    @property
    def is_blocked(self) -> bool:
        """True if a request waits already, so that no more may be parsed."""
        return bool(self._waiting)

    def begun(self) -> None:
        """Give the head of a request a limited time, unless another one is being answered."""
        if self._current is None:
            self._deadline.set(self._server.limits.request_seconds, self._late)

    def requested(self, exchange: Exchange) -> None:
        """Begin with a request whose head is complete, or let it wait for its turn."""
        if self._current is None and not self.write_paused:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)

    def buffered(self, size: int) -> None:
        """Pause reading while the application does not take the body."""
        if size > limits.BODY_BUFFER_BYTES:
            self._pause_reading()

    def received(self, exchange: Exchange) -> None:
        """Let a request that was awaited whole go the short way, if that answers it."""
        if self._awaits_whole and exchange is self._current:
            self._deadline.clear()
            self._serve_whole(exchange)

    def completed(self, exchange: Exchange) -> None:
        """Go on after a request that is answered and complete."""
        if exchange.keep_alive:
            self._current = None
            self._go_on()
        elif self._reader.rest or self._waiting:
            self._end()
        else:
            self._close()

    def refuse(self, refusal: Refusal) -> None:
        """Answer what cannot be read, after the requests before it, and close."""
        self._reader.stop()
        broken = self._reader.incoming
        if broken is not None:
            broken.disconnect()
            if self._waiting:
                self._waiting.pop()
        if self._current is None or (self._current is broken and not broken.is_on_wire):
            self._end_with(refusal)
        elif self._current is broken:
            # There cannot be a second answer. One that is given whole may still be read.
            finish = self._end if broken.is_answered else self.abort
            finish()
        else:
            self._waiting.append(refusal)

    # Steps.

    def _begin(self, exchange: Exchange) -> None:
        self._deadline.clear()
        self._sent_bytes, self._stalled_seconds = 0, 0.0
        self._current = exchange
        if not self._server.may_be_short(exchange):
            self._serve(exchange)
        elif exchange.is_received:
            self._serve_whole(exchange)
        else:
            self._awaits_whole = True
            self._deadline.set(limits.WHOLE_REQUEST_SECONDS, partial(self._serve, exchange))

    def _serve_whole(self, exchange: Exchange) -> None:
        self._awaits_whole = False
        if not self._server.serve_short(exchange, self):
            self._serve(exchange)

    def _serve(self, exchange: Exchange) -> None:
        self._awaits_whole = False
        if not self._server.serve(exchange, self):
            exchange.disconnect()
            self._end_with(_NO_TARGET)

    def _go_on(self) -> None:
        """Begin with the next request, or wait for one."""
        while self._current is None and not (self.write_paused or self._is_ending):
            if self._waiting:
                following = self._waiting.popleft()
                if isinstance(following, Refusal):
                    self._end_with(following)
                else:
                    self._begin(following)
            elif self._reader.rest:
                self._reader.resume()
            else:
                self._wait()
                break
        if self._waiting or self._is_ending:
            return
        self._resume_reading()
        # The rest may hold the body of the request that has begun just now.
        self._reader.resume()
        if self._waiting:
            self._pause_reading()

    def _wait(self) -> None:
        if self._reader.stopped:
            self._close()
        elif self._reader.is_in_head:
            self._deadline.set(self._server.limits.request_seconds, self._late)
        else:
            self._deadline.set(self._server.keep_alive_seconds, self._close)

    def _late(self) -> None:
        self._reader.stop()
        self._end_with(_LATE)

    def _end_with(self, refusal: Refusal) -> None:
        self._write_refusal(refusal)
        self._end()

    def _write_refusal(self, refusal: Refusal) -> None:
        request_id = uuid.uuid4().hex
        log(Action.REQUEST_ANSWERED, request_id=request_id, status=int(refusal.status[:3]))
        if self.transport.is_closing():
            return
        record = {"ok": False, "error": refusal.error, "code": refusal.kind.code, "detail": None}
        body = orjson.dumps(record)
        retry = b"retry-after: 1\r\n" if refusal.status.startswith(b"503") else b""
        head = (
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"%bconnection: close\r\nx-request-id: %b\r\n\r\n"
        )
        self.transport.write(head % (refusal.status, len(body), retry, request_id.encode()) + body)

    def _end(self) -> None:
        """Send the end of the connection, and discard input for a short time."""
        self._is_ending = True
        self._reader.stop()
        self._waiting.clear()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline.set(limits.LINGER_SECONDS, self._close)
        self._resume_reading()

    def _close(self) -> None:
        """Close once everything is written, or when the client has not read it in time."""
        self._is_ending = True
        self.transport.close()
        self._deadline.set(self._server.limits.request_seconds, self.abort)

    def _pause_reading(self) -> None:
        if not self._read_paused and not self.transport.is_closing():
            self._read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self.transport.is_closing():
            self._read_paused = False
            self.transport.resume_reading()

    def _wake_senders(self) -> None:
        self.write_paused = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)


def _address(transport: asyncio.BaseTransport, name: str) -> Address:
    address = transport.get_extra_info(name)
    if isinstance(address, tuple):
        return str(address[0]), int(address[1])
    return (address, None) if isinstance(address, str) and address else None
