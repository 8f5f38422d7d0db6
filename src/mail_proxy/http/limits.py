"""Bounds on HTTP connections: settings, and constants with their reasons."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.config import ProxyConfig

#: Largest head of a request (request line and headers), as usual servers have it. The framing of a
#: chunked body (chunk sizes, extensions, trailers) may have as much, plus one byte for each byte of
#: the body.
MOST_HEADER_BYTES = 65_536
#: Most headers of one request. A client library sends about 10, a chain of reverse proxies adds 20.
MOST_HEADERS = 100
#: Bytes given to the parser at once, except for bodies of a known length. The parser cannot be
#: stopped within a piece, so this bounds how many pipelined requests wait in memory (about 200).
PIECE_BYTES = 4096
#: Unread bytes of a body at which reading from the connection pauses.
BODY_BUFFER_BYTES = 65_536
#: A request that may go the short way is awaited whole for so long, then it goes the usual way.
WHOLE_REQUEST_SECONDS = 1.0
#: After an early answer (such as a 401): if at most so much of the body is missing, it is awaited
#: and discarded, and the connection is kept.
SMALL_REST_BYTES = 65_536
#: After the last answer: how long, and how much, a connection is still read. A connection that is
#: closed with unread bytes is reset, and the client may lose the answer (RFC 9112, 9.6).
LINGER_SECONDS = 2.0
LINGER_BYTES = 64_000_000
#: Slowest client that gets a large answer to its end. Besides this rate it has ``request_seconds``.
SLOWEST_BYTES_PER_SECOND = 100_000
#: Answers that clients do not read, over all connections. Beyond it the oldest are aborted.
MOST_UNREAD_BYTES = 64_000_000


@dataclass(frozen=True)
class HttpLimits:
    """The settings that bound connections.

    ``request_seconds``: for the head of a request, and for a client that does not read its answer.
    """

    request_seconds: float
    connections: int

    @classmethod
    def of(cls, config: ProxyConfig) -> HttpLimits:
        """Return the limits in the settings of an instance."""
        return cls(config.timing.request_timeout, config.concurrency.max_connections)
