"""An SMTP server that records arrivals, in a process of its own; and waits with a bound."""

import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from tests.harness.errors import HarnessError
from tests.harness.processes import Children, Process, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
_SERVER = "tests.harness.sink_server"
_ESTABLISHED = "01"  # in /proc/net/tcp


class Sink(Protocol):
    port: int

    def count(self) -> int:
        """Messages accepted so far, copies included."""


class ServerProcess:
    def __init__(self, children: Children, output: Path) -> None:
        self.port = free_port()
        self._children = children
        self._output = output
        self._process: Process | None = None

    def _launch(self) -> Process:
        raise NotImplementedError

    def start(self) -> Self:
        self._process = self._launch()
        try:
            wait_for_port(self.port, self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._children.stop(self._process, patience=2)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class RecordingSink(ServerProcess):
    """Our own sink: knows each message by its X-Genro-Mail-ID, and when it came.

    ``keywords`` it offers to EHLO beside its usual ones. ``silent_from`` is ``greeting`` or a
    command's name: from there on it says nothing.
    """

    def __init__(
        self, children: Children, output: Path, *keywords: str, silent_from: str | None = None
    ) -> None:
        super().__init__(children, output)
        self._keywords = keywords
        self._silent_from = silent_from
        self.arrivals: Counter[str] = Counter()
        self.accepted_ns: dict[str, int] = {}
        self.every_ns: defaultdict[str, list[int]] = defaultdict(list)
        self._read_to = 0

    def _launch(self) -> Process:
        silence = ["--silent-from", self._silent_from] if self._silent_from else []
        with self._output.open("wb") as output:
            return self._children.start(
                "silent sink" if silence else "recording sink",
                [sys.executable, "-m", _SERVER, str(self.port), *self._keywords, *silence],
                cwd=REPOSITORY,
                stdout=output,
            )

    def count(self) -> int:
        self._read()
        return self.arrivals.total()

    def connections(self) -> int:
        """Those that are open now, from the kernel's table."""
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ours = f":{self.port:04X}"
        return sum(row[2].endswith(ours) and row[3] == _ESTABLISHED for row in rows)

    def distinct(self) -> int:
        self._read()
        return len(self.arrivals)

    def copies(self) -> dict[str, int]:
        """How often beyond the first each message came."""
        self._read()
        return {mail_id: n - 1 for mail_id, n in self.arrivals.items() if n > 1}

    def moments(self) -> list[float]:
        """When each message was accepted first, in seconds of the monotonic clock."""
        self._read()
        return [stamp / 1e9 for stamp in self.accepted_ns.values()]

    def accepted_at(self, mail_id: str) -> int | None:
        self._read()
        return self.accepted_ns.get(mail_id)

    def _read(self) -> None:
        with self._output.open("rb") as output:
            output.seek(self._read_to)
            complete, newline, _ = output.read().rpartition(b"\n")
        self._read_to += len(complete) + len(newline)
        for line in complete.decode("ascii", "replace").splitlines():
            stamp, _, mail_id = line.partition(" ")
            self.arrivals[mail_id] += 1
            self.accepted_ns.setdefault(mail_id, int(stamp))
            self.every_ns[mail_id].append(int(stamp))


def wait_for_port(port: int, process: Process, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise HarnessError(f"ended at once with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise HarnessError(f"nothing is listening on port {port}")


def wait_for(
    progress: Callable[[], int],
    target: int,
    *,
    stall_seconds: float,
    interval: float = 0.005,
    alive: Callable[[], None] | None = None,
) -> float:
    """The monotonic time at which `progress()` was first seen at `target` or above."""
    best = -1
    moved = time.monotonic()
    while (value := progress()) < target:
        now = time.monotonic()
        if value > best:
            best, moved = value, now
        elif now - moved > stall_seconds:
            raise HarnessError(f"stuck at {value} of {target} for {stall_seconds:.0f} s")
        if alive is not None:
            alive()
        time.sleep(interval)
    return time.monotonic()
