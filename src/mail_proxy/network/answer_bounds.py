"""Bounds on the octets that an HTTP server sends as its answer to one request."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

#: Name under which ``get_extra_info`` of a connection returns its ``BoundedStream``.
BOUNDED_STREAM = "bounded_stream"
#: Octets before the end of the final response head. Servers limit theirs to 8 or 16 kB.
_MOST_HEAD_BYTES = 64_000
#: Informational responses (1xx) before the final one. Parsing takes 50 us for each.
_MOST_INFORMATIONAL = 10
#: Octets of an answer with heads, chunk sizes and trailers.
MOST_BYTES = 2_000_000
#: The next status line after an empty line.
_NEXT_HEAD = re.compile(rb"\n\r?\nHTTP/1")
#: A status line may be divided between two reads.
_TAIL_BYTES = 8


class AnswerTooLargeError(httpcore.ReadError):
    """The server has sent more than an answer may have; the text says of what."""


class BoundedStream(httpcore.AsyncNetworkStream):
    """Connection that bounds each answer while it arrives, before it is parsed.

    An HTTP parser skips informational responses without end, and bounds single chunk sizes only.
    Each write begins a new answer.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self._reset()

    def begin_body(self) -> None:
        """Note that the final response head has arrived."""
        self._is_head = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read octets of the answer; raises AnswerTooLargeError."""
        if self._is_head and self._bytes > _MOST_HEAD_BYTES:
            raise AnswerTooLargeError("the head of the answer is larger than 64 kB")
        data = await self._stream.read(max_bytes, timeout)
        self._bytes += len(data)
        if self._bytes > self._most_bytes:
            most = f"{self._most_bytes / 1_000_000:g} MB"
            raise AnswerTooLargeError(
                f"the answer is larger than {most}, with heads and chunk sizes"
            )
        if self._is_head:
            self._count_heads(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write octets of the next request."""
        self._reset()
        await self._stream.write(buffer, timeout)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return the connection inside TLS, with the same bounds."""
        stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return BoundedStream(stream, self._most_bytes)

    def get_extra_info(self, info: str) -> Any:
        """Return a detail of the connection by name, as httpcore does."""
        return self if info == BOUNDED_STREAM else self._stream.get_extra_info(info)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._stream.aclose()

    def _reset(self) -> None:
        self._is_head = True
        self._bytes = self._heads = 0
        self._tail = b""

    def _count_heads(self, data: bytes) -> None:
        seen = self._tail + data
        counted = 0
        for found in _NEXT_HEAD.finditer(seen):
            self._heads += 1
            counted = found.end()
        self._tail = seen[counted:][-_TAIL_BYTES:]
        if self._heads > _MOST_INFORMATIONAL:
            text = f"more than {_MOST_INFORMATIONAL} informational responses came before the answer"
            raise AnswerTooLargeError(text)


def bounded_backend(most_bytes: int = MOST_BYTES) -> httpcore.AsyncNetworkBackend:
    """Return a network backend whose connections are ``BoundedStream``."""
    return _BoundedBackend(most_bytes)


class _BoundedBackend(httpcore.AnyIOBackend):
    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        return BoundedStream(stream, self._most_bytes)
