"""An SMTP server that accepts everything and records who arrived when.

One line a message on standard output, written before the client gets its 250:
CLOCK_MONOTONIC in nanoseconds, a blank, the X-Genro-Mail-ID.

Called with a second argument, ``greeting`` or a command's name, it says nothing from there on,
and keeps the connection open.
"""

import asyncio
import contextlib
import os
import re
import sys
import time
from typing import cast

_MAIL_ID = re.compile(rb"^X-Genro-Mail-ID:[ \t]*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_END_OF_DATA = b"\r\n.\r\n"
_EHLO = (
    b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
    b"250-ENHANCEDSTATUSCODES\r\n250 SIZE 52428800\r\n"
)
_REPLIES = {
    b"EHLO": _EHLO,
    b"HELO": b"250 sink\r\n",
    b"LHLO": _EHLO,
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"DATA": b"354 End data with <CR><LF>.<CR><LF>\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class SinkProtocol(asyncio.Protocol):
    def __init__(self, silent_from: bytes = b"") -> None:
        self._silent_from = silent_from
        self._is_silent = silent_from == b"GREETING"
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._in_data = False

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
        return self._message() if self._in_data else self._command()

    def _command(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        verb = bytes(self._buffer[:4]).upper()
        del self._buffer[: end + 2]
        if verb == self._silent_from:
            self._is_silent = True
            return None
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
        head_end = self._buffer.find(b"\r\n\r\n", 2, end)
        match = _MAIL_ID.search(self._buffer, 0, head_end if head_end > 0 else end)
        mail_id = match[1] if match else b"-"
        os.write(1, b"%d %s\n" % (time.monotonic_ns(), mail_id.strip()))
        del self._buffer[: end + len(_END_OF_DATA)]
        self._in_data = False
        return b"250 2.0.0 Ok\r\n"


async def serve(port: int, silent_from: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: SinkProtocol(silent_from), "127.0.0.1", port, backlog=1000
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    port = int(sys.argv[1])
    silent_from = "".join(sys.argv[2:]).upper().encode()
    with contextlib.suppress(KeyboardInterrupt):
        try:
            import uvloop
        except ImportError:
            asyncio.run(serve(port, silent_from))
        else:
            uvloop.run(serve(port, silent_from))


if __name__ == "__main__":
    main()
