"""Single messages, handed in one after the other while something else is going on."""

import http.client
import random
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import NamedTuple

from benchmarks import messages
from benchmarks.bench import Bench
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, percentile
from benchmarks.proxy import Proxy
from benchmarks.sinks import RecordingSink, wait_for

_PAUSES_SECONDS = (0.03, 0.09)  # irregular, so as not to keep step with slices
_CALL_SECONDS = 3600


class Probe(NamedTuple):
    """Milliseconds from the start of the call to its answer, and from there to the sink."""

    answered: float
    accepted: float


class Probes:
    """Messages of the tenant ``default`` to a sink of their own."""

    def __init__(self, bench: Bench, proxy: Proxy, sink: RecordingSink) -> None:
        self._bench = bench
        self._proxy = proxy
        self._sink = sink
        self._pauses = random.Random(bench.options.seed)
        self._prefix = f"probe{time.monotonic_ns()}"
        self._numbers = count()
        proxy.add_account(sink.port, id="probes", tenant_id="default")
        self._one()  # imports, the first connection

    def some(self, number: int) -> list[Probe]:
        return [self._one() for _ in range(number)]

    def during(self, call: "BackgroundCall", least: int = 1) -> list[Probe]:
        """As long as the call runs."""
        found = self.some(least)
        while call.runs:
            found.append(self._one())
        return found

    def _one(self) -> Probe:
        time.sleep(self._pauses.uniform(*_PAUSES_SECONDS))
        number = next(self._numbers)
        body = messages.call(self._prefix, number, 1, 300, tenant_id="default", account_id="probes")
        called_ns = time.monotonic_ns()
        self._proxy.add_messages(body, 1)
        answered_ns = time.monotonic_ns()
        mail_id = messages.mail_id(self._prefix, number)
        wait_for(
            lambda: int(self._sink.accepted_at(mail_id) is not None),
            1,
            stall_seconds=self._bench.options.stall_seconds,
            interval=0.002,
            alive=self._proxy.check_alive,
        )
        accepted_ns = self._sink.accepted_ns[mail_id]
        return Probe((answered_ns - called_ns) / 1e6, (accepted_ns - answered_ns) / 1e6)


class BackgroundCall:
    """A long call to the proxy on a thread and a connection of its own."""

    def __init__(self, proxy: Proxy, method: str, path: str, body: bytes | None = None) -> None:
        self.answer = b""
        self.seconds = 0.0
        self._failure = "no answer"
        self._headers = {"X-API-Token": proxy.token, "Content-Type": "application/json"}
        self._port = proxy.port
        self._thread = threading.Thread(target=self._run, args=(method, path, body), daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        return self._thread.is_alive()

    def finish(self) -> bytes:
        """The answer, once it is there."""
        self._thread.join()
        if self._failure:
            raise BenchmarkError(self._failure)
        return self.answer

    def _run(self, method: str, path: str, body: bytes | None) -> None:
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_CALL_SECONDS)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            self.answer = response.read()
            failed = response.status != 200
            self._failure = f"{method} {path}: {response.status} {self.answer[:300]!r}"
            self._failure = self._failure if failed else ""
        except (OSError, http.client.HTTPException) as error:
            self._failure = f"{method} {path}: {error!r}"
        finally:
            connection.close()
            self.seconds = time.monotonic() - started


def shown(what: str, probes: list[Probe]) -> list[Figure]:
    kinds: dict[str, Callable[[Probe], float]] = {
        "POST to answer": lambda probe: probe.answered,
        "answer to acceptance": lambda probe: probe.accepted,
    }
    return [
        Figure(
            f"{what}: {kind}, p50",
            percentile(map(value, probes), 50),
            "ms",
            note=f"p99 {percentile(map(value, probes), 99):.0f}, "
            f"longest {max(map(value, probes)):.0f}, of {len(probes)}",
        )
        for kind, value in kinds.items()
    ]
