"""Parser for the requests of one HTTP connection, with a bound on their framing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import httptools

from mail_proxy.errors import HeadersTooLarge, MailProxyError, NotHttp
from mail_proxy.http.exchange import Exchange, Link
from mail_proxy.http.limits import MOST_HEADER_BYTES, MOST_HEADERS, PIECE_BYTES
from mail_proxy.telemetry.log import Action, log


@dataclass(frozen=True)
class Refusal:
    """Answer without the application: the request is unreadable, or there is no room."""

    status: bytes
    error: str
    kind: type[MailProxyError] = MailProxyError


FAILED = Refusal(b"500 Internal Server Error", "internal error")
_MALFORMED = Refusal(b"400 Bad Request", "the request is not valid HTTP", NotHttp)
_TOO_LARGE = Refusal(
    b"431 Request Header Fields Too Large",
    "the request's headers, trailers or chunk framing are too large",
    HeadersTooLarge,
)
#: Longest number that is read from a Content-Length; longer ones are above every limit.
_LENGTH_DIGITS = 18


class Connection(Link, Protocol):
    """The connection whose requests are read."""

    @property
    def is_blocked(self) -> bool:
        """True if a request waits already, so that no more may be parsed."""

    def begun(self) -> None:
        """Note the first byte of a request."""

    def requested(self, exchange: Exchange) -> None:
        """Take a request whose head is complete."""

    def buffered(self, size: int) -> None:
        """Note how much of the body the application has not taken."""

    def received(self, exchange: Exchange) -> None:
        """Note that a request is complete that is not answered yet."""

    def completed(self, exchange: Exchange) -> None:
        """Note the end of a request that was answered before it was complete."""

    def refuse(self, refusal: Refusal) -> None:
        """Answer and close."""


class RequestReader:
    """Turns bytes into exchanges. ``rest`` holds the bytes that may not be parsed yet.

    The parser cannot be stopped between two requests, so it gets ``PIECE_BYTES`` at a time.
    Framing is everything except the bodies. That of one request may have ``MOST_HEADER_BYTES``,
    and one byte for each byte of the body: so trailers, chunk extensions and chunks of one byte
    are bounded as the head is.
    """

    def __init__(self, connection: Connection) -> None:
        self.rest = b""
        self.stopped = False
        self.is_in_head = False
        self.incoming: Exchange | None = None
        self._connection = connection
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing_bytes = 0
        self._body_bytes = 0
        self._body_head: bytes | None = None

    def feed(self, data: bytes) -> None:
        """Parse until all is read or the connection is blocked; keep the ``rest``."""
        size = len(data)
        if size <= PIECE_BYTES:
            self._parse(data)
            return
        view = memoryview(data)
        at = 0
        while at < size and not self.stopped:
            if self._connection.is_blocked:
                self.rest = data[at:]
                return
            known = (self.incoming.body_left or 0) if self.incoming is not None else 0
            end = at + max(PIECE_BYTES, known)
            self._parse(view[at:end])
            at = end

    def resume(self) -> None:
        """Parse the ``rest``."""
        data, self.rest = self.rest, b""
        self.feed(data)

    def stop(self) -> None:
        """Read no more requests."""
        self.stopped = True
        self.rest = b""

    def _parse(self, piece: bytes | memoryview) -> None:
        self._framing_bytes += len(piece)
        while piece and not self.stopped:
            try:
                self._parser.feed_data(piece)
                break
            except httptools.HttpParserUpgrade as upgrade:
                # No other protocol is spoken here, and a server may ignore the offer (RFC 9110,
                # 7.8).
                piece = piece[upgrade.args[0] :]
                self._read_skipped_body()
            except httptools.HttpParserCallbackError as error:
                log(Action.REQUEST_FAILED, exception=error.__context__ or error)
                self._connection.refuse(FAILED)
            except httptools.HttpParserError:
                if not self.stopped:
                    self._connection.refuse(_MALFORMED)
        if self._framing_bytes > MOST_HEADER_BYTES + self._body_bytes and not self.stopped:
            self._connection.refuse(_TOO_LARGE)

    def _read_skipped_body(self) -> None:
        """Read the body of a request that offers an upgrade, which the parser leaves out.

        Another parser gets the lines that say where the body ends. Nothing is read after it.
        """
        head, self._body_head = self._body_head, None
        if head is not None:
            self._parser = httptools.HttpRequestParser(_BodyOnly(self))
            try:
                self._parser.feed_data(head)
            except httptools.HttpParserError:
                self._connection.refuse(_MALFORMED)

    # What the parser calls.

    def on_message_begin(self) -> None:
        self.is_in_head = True
        self._target, self._headers = b"", []
        self._framing_bytes = self._body_bytes = 0
        self.incoming = None
        self._connection.begun()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # One more than allowed shows the application that there are too many. Headers after the
        # head are trailers, which are ignored.
        if self.is_in_head and len(self._headers) <= MOST_HEADERS:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_in_head = False
        if self.stopped:
            return
        parser = self._parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        exchange = Exchange(self._connection, method, self._target, version, self._headers)
        exchange.keep_alive = version != "1.0" and parser.should_keep_alive()
        framing = _read_framing(exchange)
        if parser.should_upgrade() and exchange.body_left != 0:
            exchange.keep_alive = False
            self._body_head = b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing
        if len(self._headers) > MOST_HEADERS:
            # A header that was left out may say where the body ends, so nothing is read behind it.
            exchange.keep_alive = False
        self.incoming = exchange
        self._connection.requested(exchange)

    def on_body(self, chunk: bytes) -> None:
        size = len(chunk)
        self._framing_bytes -= size
        self._body_bytes += size
        exchange = self.incoming
        if exchange is None or self.stopped:
            return
        if exchange.body_left:
            exchange.body_left -= size
        if not exchange.is_answered:
            self._connection.buffered(exchange.add_body(chunk))

    def on_message_complete(self) -> None:
        if self._body_head is not None:
            return
        exchange, self.incoming = self.incoming, None
        if exchange is None or self.stopped:
            return
        if not exchange.keep_alive:
            self.stop()
        exchange.end_body()
        if exchange.is_answered:
            self._connection.completed(exchange)
        else:
            self._connection.received(exchange)


class _BodyOnly:
    """Callbacks for a parser that reads one body."""

    def __init__(self, reader: RequestReader) -> None:
        self.on_body = reader.on_body
        self.on_message_complete = reader.on_message_complete


def _read_framing(exchange: Exchange) -> bytes:
    """Note what the headers say of the body; return the line that says where it ends."""
    line = b""
    for name, value in exchange.headers:
        if name == b"content-length":
            digits = value.strip().lstrip(b"0") or b"0"
            exchange.body_left = int(digits) if len(digits) <= _LENGTH_DIGITS else 10**18
            line = b"content-length: " + digits
        elif name == b"transfer-encoding":
            exchange.body_left = None
            line = b"transfer-encoding: " + value
        elif name == b"expect":
            # RFC 9110, 10.1.1: an older client's expectation is ignored.
            is_asked = value.lower() == b"100-continue"
            exchange.expects_continue = is_asked and exchange.version != "1.0"
    return line
