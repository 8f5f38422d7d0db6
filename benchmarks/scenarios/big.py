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
    " id": "&id=nothing",
    " q": "&q=nothing",
}


def big(bench: Bench) -> list[Figure]:
    """The same calls on a filled database and on a small one, then the rate of a drain."""
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
    figures: dict[str, list[Figure]] = {}
    with bench.smtp_sink() as sink:
        for name, size in sizes.items():
            figures[name] = _Measuring(bench, sink, name, size).run()
    small, large = (
        next(f.value for f in figures[name] if f.name.endswith("drain rate")) for name in sizes
    )
    ratio = Figure("drain rate, big to small", large / small, "", Bound(">=", 0.9))
    return [*figures["small"], *figures["big"], ratio]


class _Measuring:
    def __init__(self, bench: Bench, sink: SmtpSink, name: str, size: fill.Size) -> None:
        self._bench = bench
        self._sink = sink
        self._name = name
        senders = min(size.accounts, bench.options.big_senders)
        given = {"senders": senders, "due_in": _HOURS, "smtp_port": sink.port}
        self._size = fill.Size(**{**vars(size), **given})
        self._figures: list[Figure] = []

    def run(self) -> list[Figure]:
        home, url = self._bench.new_directory("home"), self._bench.new_database()
        with self._bench.proxy(home=home, database_url=url):
            pass  # makes the tables
        database = url or str(_sqlite_file(home))
        started = time.monotonic()
        fill.fill(database, self._size)
        self._note("filling", time.monotonic() - started, "s")
        started = time.monotonic()
        with self._bench.proxy(home=home, database_url=url) as proxy:
            self._note("start to /ready", time.monotonic() - started, "s")
            self._calls(proxy)
        fill.make_due(database, _HOURS)
        with self._bench.proxy(home=home, database_url=url) as proxy:
            self._drain(proxy)
        return self._figures

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

    def _drain(self, proxy: Proxy) -> None:
        total = self._bench.options.big_drain
        first = self._bench.wait_accepted(proxy, self._sink, self._sink.count() + total // 5)
        target = self._sink.count() + total // 2
        base = self._sink.count()
        begun = time.monotonic()
        ended = self._bench.wait_accepted(proxy, self._sink, target)
        assert ended > first
        self._note("drain rate", (target - base) / (ended - begun), "messages/s")

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
