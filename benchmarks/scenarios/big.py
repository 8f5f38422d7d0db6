"""Does a queue of millions slow anything down?"""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import fill, messages
from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.proxy import INSTANCE, Proxy
from benchmarks.sinks import SmtpSink

_HOURS = 6 * 3600.0
_TENANT = "t1"
_FILTERS = {
    "": "",
    " active": "&active_only=true",
    " pending": "&status=pending",
    " deferred": "&status=deferred",
    " sent": "&status=sent",
    " error": "&status=error",
    " account": "&account_id=a1",
    " batch": "&batch_code=batch-0",
    " account, error": "&account_id=a1&status=error",
    " id": "&id=nothing",
    " q": "&q=nothing",
}


_LEAST_ROUNDS = 3  # single drains scatter more than the bound allows


def big(bench: Bench) -> list[Figure]:
    """The same calls on a filled database and on a small one, then drains of both in turn."""
    options = bench.options
    sizes = {
        "small": fill.Size(waiting=options.big_small, finished=0, tenants=10, accounts=10),
        "big": fill.Size(
            waiting=options.big_waiting,
            finished=options.big_finished,
            tenants=options.big_tenants,
            accounts=options.big_accounts,
        ),
    }
    rates: dict[str, list[float]] = {name: [] for name in sizes}
    with bench.smtp_sink() as sink:
        measuring = {name: _Measuring(bench, sink, name, size) for name, size in sizes.items()}
        figures = [figure for each in measuring.values() for figure in each.run()]
        for number in range(max(_LEAST_ROUNDS, options.repeat)):
            for name in list(sizes)[:: -1 if number % 2 else 1]:
                rates[name].append(measuring[name].drain())
    ratios = [large / small for small, large in zip(*rates.values(), strict=True)]
    drains = [
        Figure(f"{name}: drain rate", statistics.median(runs), "messages/s", runs=runs)
        for name, runs in rates.items()
    ]
    bound = Bound(">=", 0.9)
    ratio = Figure("drain, big to small", statistics.median(ratios), "", bound, runs=ratios)
    return [*figures, *drains, ratio]


class _Measuring:
    def __init__(self, bench: Bench, sink: SmtpSink, name: str, size: fill.Size) -> None:
        self._bench = bench
        self._sink = sink
        self._name = name
        senders = min(size.accounts, bench.options.big_senders)
        given = {"senders": senders, "due_in": _HOURS, "smtp_port": sink.port}
        self._size = fill.Size(**{**vars(size), **given})
        self._figures: list[Figure] = []
        self._home, self._url = bench.new_directory("home"), bench.new_database()

    def run(self) -> list[Figure]:
        with self._proxy():
            pass  # makes the tables
        database = self._url or str(_sqlite_file(self._home))
        started = time.monotonic()
        fill.fill(database, self._size)
        self._note("filling", time.monotonic() - started, "s")
        started = time.monotonic()
        with self._proxy() as proxy:
            self._note("start to /ready", time.monotonic() - started, "s")
            self._calls(proxy)
        fill.make_due(database, _HOURS)
        return self._figures

    def drain(self) -> float:
        """Messages a second, after a start."""
        total = self._bench.options.big_drain
        with self._proxy() as proxy:
            begun = self._accepted(proxy, total // 5)
            base = self._sink.count()
            ended = self._accepted(proxy, total)
            return (self._sink.count() - base) / (ended - begun)

    def _accepted(self, proxy: Proxy, count: int) -> float:
        return self._bench.wait_accepted(proxy, self._sink, self._sink.count() + count)

    def _proxy(self) -> Proxy:
        return self._bench.proxy(home=self._home, database_url=self._url)

    def _calls(self, proxy: Proxy) -> None:
        about = f"tenant_id={_TENANT}"
        time.sleep(1.0)
        for name, query in _FILTERS.items():
            path = f"/messages?{about}{query}"
            self._time(f"GET /messages{name}", partial(proxy.request, "GET", path))
        self._time("GET /status", lambda: proxy.request("GET", "/status"))
        self._time("GET /metrics", lambda: proxy.try_request("GET", "/metrics"))
        self._time("POST 1", lambda: self._post(proxy, 1, deferred=True))
        self._time("POST 1000", lambda: self._post(proxy, 1000, deferred=True))
        self._time("POST to accepted", lambda: self._deliver(proxy))
        account = {"id": "a1", "tenant_id": _TENANT, "host": "127.0.0.1"}
        account |= {"port": self._sink.port, "tls": "none"}
        body = json.dumps(account).encode()
        self._time("saving an account, then a POST", lambda: self._save(proxy, body))
        cleaning = f"/commands/cleanup-messages?{about}"
        clean = json.dumps({"older_than_seconds": 5 * 86_400}).encode()
        started = time.monotonic()
        removed = proxy.request("POST", cleaning, clean)["removed"]
        took = (time.monotonic() - started) * 1000
        self._note("cleanup-messages", took, "ms", note=f"{removed} removed, with pauses")

    def _save(self, proxy: Proxy, body: bytes) -> None:
        proxy.request("POST", "/account", body)
        self._post(proxy, 1, deferred=True)

    def _post(self, proxy: Proxy, count: int, *, deferred: bool = False) -> None:
        prefix = f"x{time.monotonic_ns()}"
        content = json.loads(messages.call(prefix, 0, count, self._size.body_bytes))
        for message in content["messages"]:
            message |= {"tenant_id": _TENANT, "account_id": "a1"}
            if deferred:
                message["deferred_ts"] = time.time() + _HOURS
        proxy.add_messages(json.dumps(content).encode(), count)

    def _deliver(self, proxy: Proxy) -> None:
        target = self._sink.count() + 1
        self._post(proxy, 1)
        self._bench.wait_accepted(proxy, self._sink, target)

    def _time(self, what: str, call: Callable[[], object]) -> None:
        runs = []
        for _ in range(self._bench.options.big_calls):
            started = time.monotonic()
            call()
            runs.append((time.monotonic() - started) * 1000)
        note = f"first {runs[0]:.1f}, longest {max(runs):.1f}"
        self._note(what, statistics.median(runs), "ms", note=note)

    def _note(self, what: str, value: float, unit: str, note: str = "") -> None:
        self._figures.append(Figure(f"{self._name}: {what}", value, unit, note=note))


def _sqlite_file(home: Path) -> Path:
    (found,) = (home / INSTANCE).glob("*.db")
    return found
