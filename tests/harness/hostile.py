"""Hostile HTTP clients, and a watch on what they do to a service and its other clients."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.harness.command_line import wait_for
from tests.harness.processes import process_tree

_GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
_POST = b"POST /account HTTP/1.1\r\nHost: localhost\r\n"
_ADD = (
    b"POST /commands/add-messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n"
    b'{"messages":[]}'
)
_MEGABYTES = 20
_PAUSE_SECONDS = 0.02
#: After an attack, with its connections still open.
_ASKED_AT_LEAST = 10
_LONGEST_SECONDS = 1.0
_MOST_GROWTH_BYTES = 150_000_000


@dataclass
class Watch:
    """Longest answers of a service, and memory of its processes, during an attack.

    It asks for ``/health`` over new connections. ``work`` is a call of another client, made again
    and again meanwhile; it returns whether it succeeded.
    """

    port: int
    pid: int
    work: Callable[[], bool] | None = None
    longest_work_seconds: float = 0.0
    worked: int = 0
    refused: int = 0
    before_bytes: int = 0
    most_bytes: int = 0
    quiet_seconds: float = 0.0
    longest_seconds: float = 0.0
    asked: int = 0

    def __post_init__(self) -> None:
        self._pids = process_tree(self.pid)

    def resident_bytes(self) -> int:
        """Resident memory of the processes that the service had at the beginning."""
        pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self._pids)
        return sum(map(int, pages)) * resource.getpagesize()

    @property
    def allowed_seconds(self) -> float:
        """Longest answer that is within bounds: 1 s, more on a slow or busy machine."""
        # What else runs on the machine takes its share of the processors.
        share = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        return max(_LONGEST_SECONDS, 20 * self.quiet_seconds) * share

    @property
    def has_grown(self) -> bool:
        """Whether the service took too much memory."""
        return self.most_bytes - self.before_bytes > _MOST_GROWTH_BYTES

    @property
    def is_within_bounds(self) -> bool:
        """Whether the attack has hindered no other client and taken little memory."""
        longest = max(self.longest_seconds, self.longest_work_seconds)
        return longest < self.allowed_seconds and not (self.has_grown or self.refused)

    def ask(self) -> float:
        """Seconds until another client has its answer."""
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(_GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        return time.perf_counter() - begun

    @contextmanager
    def during(self) -> Iterator[None]:
        """Measure while the block runs."""
        self.quiet_seconds = max(self.ask() for _ in range(20))
        if self.work is not None:
            self.quiet_seconds = max(self.quiet_seconds, *(self._do_work() for _ in range(5)))
        self.before_bytes = self.most_bytes = self.resident_bytes()
        ended = threading.Event()
        watches = (
            [self._watch_health] if self.work is None else [self._watch_health, self._watch_work]
        )
        threads = [threading.Thread(target=each, args=(ended,)) for each in watches]
        for thread in threads:
            thread.start()
        try:
            yield
            self.wait_for_answers(_ASKED_AT_LEAST)
        finally:
            ended.set()
            for thread in threads:
                thread.join()

    def wait_for_answers(self, count: int) -> None:
        """Wait until other clients have had so many more answers."""
        asked, worked = self.asked + count, self.worked + count * (self.work is not None)
        wait_for(lambda: (self.asked >= asked and self.worked >= worked) or None)

    def _watch_health(self, ended: threading.Event) -> None:
        while not ended.wait(_PAUSE_SECONDS):
            self.longest_seconds = max(self.longest_seconds, self.ask())
            self.most_bytes = max(self.most_bytes, self.resident_bytes())
            self.asked += 1

    def _watch_work(self, ended: threading.Event) -> None:
        while not ended.wait(_PAUSE_SECONDS):
            self.longest_work_seconds = max(self.longest_work_seconds, self._do_work())
            self.worked += 1

    def _do_work(self) -> float:
        assert self.work is not None
        begun = time.perf_counter()
        self.refused += not self.work()
        return time.perf_counter() - begun


@dataclass
class Attacker:
    """Connections of one hostile client."""

    port: int

    def __post_init__(self) -> None:
        self._connections: list[socket.socket] = []

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self._connections.append(connection)
        return connection

    def push(self, connection: socket.socket, data: bytes, times: int) -> int:
        """Send until the other side stops reading or closes; how much it took."""
        sent = 0
        connection.settimeout(1)
        with suppress(OSError):
            for _ in range(times):
                sent += connection.send(data)
        return sent

    def pipeline_unread(self, connections: int = 1, question: bytes = _GET) -> None:
        """Ask 20 MB of questions on each connection, and read no answer."""
        block = question * 1000
        opened = [self.connect() for _ in range(connections)]
        threads = [
            threading.Thread(target=self.push, args=(each, block, _MEGABYTES * 10**6 // len(block)))
            for each in opened
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def endless(self, head: bytes, block: bytes) -> None:
        """Send ``block`` again and again, up to 60 MB."""
        connection = self.connect()
        with suppress(OSError):
            connection.sendall(head)
        self.push(connection, block, 60_000_000 // len(block))

    def unread_answers(self, path: bytes, connections: int = 60) -> None:
        """Ask for a large answer on many connections, and read none."""
        request = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path
        for _ in range(connections):
            connection = self.connect()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.push(connection, request * 100, 1)

    def idle(self, connections: int) -> None:
        """Open connections and say nothing."""
        for _ in range(connections):
            with suppress(OSError):
                self.connect()


CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
ATTACKS: dict[str, Callable[[Attacker], None]] = {
    "pipelined questions, no answer read": lambda a: a.pipeline_unread(),
    "the same on 40 connections": lambda a: a.pipeline_unread(40),
    "pipelined messages, no answer read": lambda a: a.pipeline_unread(question=_ADD),
    "endless trailers": lambda a: a.endless(
        CHUNKED + b"0\r\n", b"X-Trailer: " + b"x" * 1000 + b"\r\n"
    ),
    "one endless trailer": lambda a: a.endless(CHUNKED + b"0\r\nX: ", b"x" * 10_000),
    "an endless chunk extension": lambda a: a.endless(CHUNKED + b"1;", b"x" * 10_000),
    "chunks of one byte": lambda a: a.endless(CHUNKED, b"1\r\nx\r\n" * 1000),
    "endless headers": lambda a: a.endless(_GET[:-2], b"X-Many: x\r\n" * 1000),
    "one endless header": lambda a: a.endless(_GET[:-2] + b"X: ", b"x" * 10_000),
    "an endless path": lambda a: a.endless(b"GET /", b"x" * 10_000),
    "endless empty lines": lambda a: a.endless(b"", b"\r\n" * 1000),
    "answers of 60 connections not read": lambda a: a.unread_answers(b"/openapi.json"),
    "1500 idle connections": lambda a: a.idle(1500),
    "a body after 401": lambda a: a.endless(
        _POST + b"Content-Length: 60000000\r\n\r\n", b"x" * 10_000
    ),
    "noise": lambda a: a.endless(b"", bytes(range(256)) * 40),
}
