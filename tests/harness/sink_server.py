"""An SMTP server that accepts everything and records who arrived when.

One line a message on standard output, written before the client gets its 250:
CLOCK_MONOTONIC in nanoseconds, a blank, the X-Genro-Mail-ID. Arguments: the port, and keywords
to offer, such as CHUNKING. With ``--silent-from``, ``greeting`` or a command's name, it says
nothing from there on, and keeps the connection open.
"""

import argparse
import asyncio
import contextlib
import os
import re
import time
from collections.abc import Sequence
from typing import cast

_MAIL_ID = re.compile(rb"^X-Genro-Mail-ID:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_OF_DATA = b"\r\n.\r\n"
_GREETING = b"250-sink\r\n"
_EHLO = (
    b"250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n"
)
_REPLIES = {
    b"HELO": b"250 sink\r\n",
    b"LHLO": _GREETING + _EHLO,
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class SinkProtocol(asyncio.Protocol):
    def __init__(self, keywords: Sequence[str] = (), silent_from: bytes = b"") -> None:
        self._offers = b"".join(b"250-%b\r\n" % keyword.encode() for keyword in keywords)
        self._silent_from = silent_from
        self._is_silent = silent_from == b"GREETING"
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._in_data = False
        self._chunk_octets: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own do not inherit
        if not self._is_silent:
            self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        replies = bytearray()
        while not self._is_silent and (reply := self._next_reply()) is not None:
            replies += reply
        if replies:
            self._transport.write(bytes(replies))
        if replies.endswith(_REPLIES[b"QUIT"]):
            self._transport.close()

    def _next_reply(self) -> bytes | None:
        if self._chunk_octets is not None:
            return self._chunk(self._chunk_octets)
        return self._message() if self._in_data else self._command()

    def _command(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        verb = bytes(self._buffer[:4]).upper()
        if verb == b"BDAT":
            self._chunk_octets = int(self._buffer[5:end].split()[0])
        del self._buffer[: end + 2]
        if verb == self._silent_from:
            self._is_silent = True
            return None
        if verb == b"BDAT":
            return self._next_reply()
        if verb == b"EHLO":
            return _GREETING + self._offers + _EHLO
        if verb == b"DATA":
            self._in_data = True
            self._searched = 0
            # The dot of an empty message follows the line end of DATA itself.
            self._buffer[:0] = b"\r\n"
        return _REPLIES.get(verb, b"500 5.5.2 Unknown command\r\n")

    def _message(self) -> bytes | None:
        end = self._buffer.find(_END_OF_DATA, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(_END_OF_DATA))
            return None
        self._record(end)
        del self._buffer[: end + len(_END_OF_DATA)]
        self._in_data = False
        return b"250 2.0.0 Ok\r\n"

    def _chunk(self, octets: int) -> bytes | None:
        """The whole message of ``BDAT octets LAST``."""
        if len(self._buffer) < octets:
            return None
        self._record(octets)
        del self._buffer[:octets]
        self._chunk_octets = None
        return b"250 2.0.0 Ok\r\n"

    def _record(self, end: int) -> None:
        head_end = self._buffer.find(b"\r\n\r\n", 2, end)
        match = _MAIL_ID.search(self._buffer, 0, head_end if head_end > 0 else end)
        mail_id = match[1] if match else b"-"
        os.write(1, b"%d %s\n" % (time.monotonic_ns(), mail_id.strip()))


async def serve(port: int, keywords: Sequence[str], silent_from: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: SinkProtocol(keywords, silent_from), "127.0.0.1", port, backlog=1000
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("keywords", nargs="*")
    parser.add_argument("--silent-from", default="")
    given = parser.parse_args()
    serving = serve(given.port, given.keywords, given.silent_from.upper().encode())
    with contextlib.suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:
            asyncio.run(serving)
        else:
            uvloop.run(serving)


if __name__ == "__main__":
    main()
