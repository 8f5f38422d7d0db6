"""Raw bytes on HTTP connections: requests that are mutated, split, pipelined and cut off.

    python -m tests.fuzz.http --seconds 600 --seed 7

The process must go on answering, must not answer with 500, must not log a fault of its own, and
must not grow. Exit code 1 if one of these is broken.
"""

from __future__ import annotations

import argparse
import random
import re
import select
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

from tests.fuzz.service import Target, serving
from tests.harness.hostile import Watch

_MOST_GROWTH_BYTES = 50_000_000
#: Requests until memory is taken as the start: caches and pools are filled then.
_WARM_UP = 500
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_BODY = b'{"id": "a", "host": "127.0.0.1", "port": 1}'
_TOKENS = (
    *(
        b"GET",
        b"POST",
        b"HEAD",
        b"CONNECT",
        b"PRI * HTTP/2.0",
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"HTTP/9.9",
    ),
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"\r\n\r\n", b"\xff\xfe", b"%00", b"/../", b"*"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(
        b"Content-Length: 5\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: " + b"9" * 5000 + b"\r\n",
    ),
    *(b"Content-Length: " + b"0" * 5000 + b"\r\n", b"Expect: 100-continue\r\n"),
    *(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", b"Connection: close\r\n"),
    *(
        b"0\r\n\r\n",
        b"1\r\nx\r\n",
        b"ffffffffffffffff\r\n",
        b"5;a=b\r\nhello\r\n",
        b"X: y\r\n" * 120,
    ),
    b"X: " + b"x" * 70_000 + b"\r\n",
)

_MESSAGE = b'{"messages":[{"id":"a","from":"a@example.org","to":"b@example.net","subject":"s"}]}'


class Fuzz:
    """Sends from one seed; counts requests, connections and answers by status."""

    def __init__(self, target: Target, seed: int) -> None:
        self._random = random.Random(seed)
        self._port = urlsplit(target.url).port or 80
        self._keys = (target.admin.encode(), target.tenant_key.encode(), b"wrong")
        self.requests = 0
        self.connections = 0
        self.statuses: Counter[str] = Counter()

    def connection(self) -> None:
        """One connection with up to eight requests."""
        self.connections += 1
        count = self._random.choice((1, 1, 1, 2, 3, 8))
        self.requests += count
        data = b"".join(self._request() for _ in range(count))
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 5))):
            data = self._mutated(data)
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
            received = self._talk(connection, data)
        self.statuses.update(status.decode() for status in _STATUS.findall(received))

    def _request(self) -> bytes:
        key = self._random.choice(self._keys)
        head = b" HTTP/1.1\r\nHost: localhost\r\nX-API-Token: %b\r\n" % key
        json = b"Content-Type: application/json\r\n"
        kind = self._random.randrange(5)
        if kind == 0:
            return b"GET /health" + head + b"\r\n"
        if kind == 1:
            return b"GET /messages?limit=2" + head + b"\r\n"
        if kind == 2:
            return (
                b"POST /account" + head + json + b"Content-Length: %d\r\n\r\n" % len(_BODY) + _BODY
            )
        if kind == 3:
            return (
                b"POST /commands/add-messages"
                + head
                + b"Content-Length: %d\r\n\r\n" % len(_MESSAGE)
                + _MESSAGE
            )
        pieces = (_BODY[at : at + 7] for at in range(0, len(_BODY), 7))
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        head += json + b"Transfer-Encoding: chunked\r\n\r\n"
        return b"POST /account" + head + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"

    def _mutated(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data) + 1)
        kind = self._random.randrange(6)
        if kind == 0:
            return data[:at]
        if kind == 1:
            return data[:at] + self._random.randbytes(self._random.choice((1, 4, 200))) + data[at:]
        if kind == 2:
            return data[:at] + data[at + self._random.randrange(1, 20) :]
        if kind == 3:
            return data[:at] + data[at : at + self._random.randrange(200)] * 3 + data[at:]
        # At the end of a line a token is more often understood.
        line = data.find(b"\n", at) + 1
        place = line if line and kind == 4 else at
        return data[:place] + self._random.choice(_TOKENS) + data[place:]

    def _talk(self, connection: socket.socket, data: bytes) -> bytes:
        size = self._random.choice((len(data) + 1, len(data) + 1, 1, 7, 100, 4096))
        if len(data) > 5000:
            size = max(size, 4096)
        received = b""
        with suppress(ConnectionError, TimeoutError):
            for at in range(0, len(data), size):
                connection.sendall(data[at : at + size])
            ending = self._random.randrange(4)
            if ending == 0:
                return b""  # gone, without a word
            if ending == 1:
                connection.shutdown(socket.SHUT_WR)
            # Answers come within milliseconds; what is incomplete gets none, and is not awaited.
            while select.select([connection], [], [], 0.02)[0]:
                piece = connection.recv(65536)
                if not piece:
                    break
                received += piece
        return received


def run(seconds: float, seed: int) -> int:
    """Fuzz, and return the exit code."""
    with serving("sqlite") as target:
        fuzz = Fuzz(target, seed)
        watch = Watch(fuzz._port, target.pid)
        end = time.monotonic() + seconds
        before: int | None = None
        said = time.monotonic()
        while time.monotonic() < end or before is None:
            fuzz.connection()
            if before is None and fuzz.requests >= _WARM_UP:
                before = watch.resident_bytes()
            if time.monotonic() > said + 30:
                said = time.monotonic()
                print(
                    f"{fuzz.requests} requests, {watch.resident_bytes() / 1e6:.0f} MB", flush=True
                )
        longest = max(watch.ask() for _ in range(20))
        after = watch.resident_bytes()
        print(f"seed {seed}: {fuzz.requests} requests, {fuzz.connections} connections")
        print("answers:", ", ".join(f"{k} {n}" for k, n in sorted(fuzz.statuses.items())))
        print(f"memory {before / 1e6:.0f} -> {after / 1e6:.0f} MB; then /health in {longest:.3f} s")
        # Errors of the log are shown when the service has ended.
        is_faulty = "500" in fuzz.statuses or target.errors() != ""
        return 1 if is_faulty or after - before > _MOST_GROWTH_BYTES else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    arguments = parser.parse_args()
    sys.exit(run(arguments.seconds, arguments.seed))


if __name__ == "__main__":
    main()
