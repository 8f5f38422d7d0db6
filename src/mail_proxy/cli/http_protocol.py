"""HTTP protocol of uvicorn, with limits on size and time of a request's head."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mail_proxy.api.request_bounds import MOST_HEADER_BYTES
from mail_proxy.telemetry.log import Action, log


class BoundedHttp(HttpToolsProtocol):
    """HTTP protocol that refuses heads that are too large (431) or too slow (408).

    ``head_seconds`` is counted from the opening of the connection, and from the first byte of each
    later request on it. Bodies are bounded by ``api.request_bounds``.
    """

    def __init__(self, *arguments: Any, head_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_seconds = head_seconds
        self._in_head = True
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEADER_BYTES:
            self._refuse(b"431 Request Header Fields Too Large", "the headers are too large")

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
            self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request", "this is not HTTP")

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._head_seconds, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._refuse(b"408 Request Timeout", "the request did not arrive in time")

    def _refuse(self, status: bytes, error: str) -> None:
        if self.transport.is_closing():
            return
        body = orjson.dumps({"ok": False, "error": error, "detail": None})
        head = (
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\nx-request-id: %b\r\n\r\n"
        )
        request_id = uuid.uuid4().hex
        log(Action.REQUEST_ANSWERED, request_id=request_id, status=int(status[:3]))
        self.transport.write(head % (status, len(body), request_id.encode()) + body)
        self.transport.close()
