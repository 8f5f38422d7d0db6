"""Hostile servers: what a mail server or an application may answer to the proxy."""

from __future__ import annotations

import random
import socket
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache

_OK = b"250 2.0.0 ok\r\n"
_DRIP_SECONDS = 0.02
_MOST_FLOOD_BYTES = 100_000_000
_BOMB_BYTES = 200_000_000


class Call:
    """One connection of the proxy to a hostile server."""

    def __init__(self, connection: socket.socket, ended: threading.Event) -> None:
        self._connection = connection
        self._ended = ended
        self._lines = connection.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send at once."""
        self._connection.sendall(data)

    def hear(self) -> bytes:
        """Read what is there; at least one byte."""
        return self._connection.recv(65536)

    def flood(self, block: bytes) -> None:
        """Send ``block`` again and again, up to 100 MB, or until the proxy hangs up."""
        for _ in range(_MOST_FLOOD_BYTES // len(block)):
            if self._ended.is_set():
                return
            self.send(block)

    def drip(self, data: bytes) -> None:
        """Send byte after byte, slowly."""
        for byte in data:
            if self._ended.wait(_DRIP_SECONDS):
                return
            self.send(bytes([byte]))

    def be_silent(self) -> None:
        """Keep the connection open until the end of the attack."""
        self._ended.wait()

    def obey(self, until: bytes, ehlo: bytes = b"250 hostile\r\n") -> None:
        """Speak SMTP properly until the client sends ``until``, a command or ``.``."""
        self.send(b"220 hostile ESMTP\r\n")
        while not (line := self._line()).startswith(until):
            if line.startswith(b"EHLO"):
                self.send(ehlo)
            elif line.startswith(b"DATA"):
                self.send(b"354 go\r\n")
                while (line := self._line()) != b".\r\n":
                    pass
                if until == b".":
                    return
                self.send(_OK)
            else:
                self.send(_OK)

    def _line(self) -> bytes:
        line = self._lines.readline()
        if not line:
            raise ConnectionResetError
        return line


Act = Callable[[Call], None]


class HostileServer:
    """TCP server on loopback that treats each connection with the same act, then closes it."""

    def __init__(self, act: Act) -> None:
        self._act = act
        self._ended = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody."""
        self._ended.set()
        for each in (self._listener, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.calls += 1
                self._connections.append(connection)
                threading.Thread(target=self._treat, args=(connection,), daemon=True).start()

    def _treat(self, connection: socket.socket) -> None:
        # A file object that is still open may raise ValueError instead.
        with suppress(OSError, ValueError), connection:
            self._act(Call(connection, self._ended))


def _after(until: bytes, then: Act, ehlo: bytes = b"250 hostile\r\n") -> Act:
    def act(call: Call) -> None:
        call.obey(until, ehlo)
        then(call)

    return act


def _flood(block: bytes) -> Act:
    return lambda call: call.flood(block)


_NOISE = random.Random(7).randbytes(100_000)
_STARTTLS = b"250-hostile\r\n250 STARTTLS\r\n"

#: Acts of a mail server. Those whose name begins with STARTTLS need an account that asks for it.
SMTP_ACTS: dict[str, Act] = {
    "a greeting line without end": _flood(b"x" * 10_000),
    "a greeting of endless lines": _flood(b"220-x\r\n" * 1000),
    "noise for a greeting": _flood(_NOISE),
    "a greeting that drips": lambda call: call.drip(b"220-" + b"x" * 10_000),
    "no greeting": lambda call: call.be_silent(),
    "closed at once": lambda call: None,
    "421 at once": lambda call: call.send(b"421 4.3.2 no\r\n"),
    "EHLO with endless keywords": _after(b"EHLO", _flood(b"250-X-MANY 1 2 3\r\n" * 1000)),
    "EHLO with numbers of 5000 digits": _after(
        b"QUIT",
        lambda call: None,
        b"250-x\r\n250-LIMITS MAILMAX=%b\r\n250 SIZE %b\r\n" % (b"9" * 400, b"9" * 400),
    ),
    "replies that nothing asked for": _after(b"MAIL", _flood(_OK * 1000)),
    "an endless reply to RCPT": _after(b"RCPT", _flood(b"250-\xff\x9b\x1b[2J\r\n" * 1000)),
    "421 in the transaction": _after(b"RCPT", lambda call: call.send(b"421 4.3.2 no\r\n")),
    "an endless reply to the mail": _after(b".", _flood(b"250-2.0.0 ok\r\n" * 1000)),
    "a reply to the mail that drips": _after(b".", lambda call: call.drip(b"250-" + _OK * 1000)),
    "no reply to the mail": _after(b".", lambda call: call.be_silent()),
    "closed in place of a reply to the mail": _after(b".", lambda call: None),
    "STARTTLS and replies in clear text": _after(
        b"STARTTLS", lambda call: call.flood(b"220 go\r\n" + _OK * 1000), _STARTTLS
    ),
    "STARTTLS and noise": _after(
        b"STARTTLS",
        lambda call: (call.send(b"220 go\r\n"), call.hear(), call.flood(_NOISE))[2],
        _STARTTLS,
    ),
    "STARTTLS and silence": _after(
        b"STARTTLS", lambda call: (call.send(b"220 go\r\n"), call.be_silent())[1], _STARTTLS
    ),
}


@cache
def _bomb() -> bytes:
    pressing = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b" " * 1_000_000
    pressed = b"".join(pressing.compress(block) for _ in range(_BOMB_BYTES // len(block)))
    return pressed + pressing.flush()


def _answer(then: Act, *fields: bytes, status: bytes = b"200 OK") -> Act:
    head = b"\r\n".join((b"HTTP/1.1 " + status, b"Content-Type: application/json", *fields))

    def act(call: Call) -> None:
        call.hear()
        call.send(head + b"\r\n\r\n")
        then(call)

    return act


def _body(body: bytes, *fields: bytes) -> Act:
    return _answer(lambda call: call.send(body), b"Content-Length: %d" % len(body), *fields)


_LONG = b"Content-Length: 1000000000000"
#: Acts of an application that is called with delivery reports.
CALLBACK_ACTS: dict[str, Act] = {
    "endless 103": _flood(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 500),
    "chunks of one byte": _answer(_flood(b"1\r\nx\r\n" * 1000), b"Transfer-Encoding: chunked"),
    "a body without end": _answer(_flood(b" " * 100_000), _LONG),
    "a body that drips": _answer(lambda call: call.drip(b" " * 10_000), _LONG),
    "a head without end": _flood(b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 1000),
    "a field without end": _flood(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000),
    "a redirection to an inner host": _answer(
        lambda call: None, b"Location: http://127.0.0.1:1/", status=b"307 Go"
    ),
    "a body that is no JSON": _body(_NOISE),
    "JSON a hundred thousand deep": _body(b"[" * 500_000),
    "a number of 900 000 digits": _body(b'{"queued": ' + b"9" * 900_000 + b"}"),
    "a gzip bomb": lambda call: _body(_bomb(), b"Content-Encoding: gzip")(call),
    "no answer": lambda call: call.be_silent(),
    "noise": _flood(_NOISE),
}
