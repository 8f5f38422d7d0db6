"""Does removing, or changing, very many messages at once hold up the others?"""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import fill
from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.probes import BackgroundCall, Probe, Probes, shown
from benchmarks.proxy import INSTANCE, Proxy
from benchmarks.sinks import RecordingSink, SmtpSink

_ROUNDS = 5
_WEEK = 7 * 86_400
_FAR_SECONDS = 86_400.0
_PROBES = 100
#: Removed by nobody but the calls that are measured.
_SETTINGS = {"GMP_DELIVERY_REPORT_RETENTION_SECONDS": str(10 * _WEEK)}


def retention(bench: Bench) -> list[Figure]:
    """In turn with nothing to remove, and while a tenant's share of the old ones goes."""
    total = bench.options.removed
    size = fill.Size(
        waiting=0, finished=0, expired=total, tenants=_ROUNDS, accounts=_ROUNDS, body_bytes=2048
    )
    quiet: list[Probe] = []
    beside: list[Probe] = []
    early = 0
    rates: dict[str, list[float]] = {"alone": [], "beside": [], "removed": []}
    with _filled(bench, size) as (proxy, sink, single):
        probes = Probes(bench, proxy, single)
        for number in range(_ROUNDS):
            quiet += probes.some(_PROBES)
            rates["alone"].append(_drain(bench, proxy, sink, f"alone{number}"))
            call = BackgroundCall(proxy, "POST", *_cleanup(number))
            beside += probes.some(_PROBES)
            rates["beside"].append(_drain(bench, proxy, sink, f"beside{number}"))
            early += not call.runs
            probes.during(call)
            removed = json.loads(call.finish())["removed"]
            rates["removed"].append(removed / call.seconds)
    ratios = [b / a for a, b in zip(rates["alone"], rates["beside"], strict=True)]
    return [
        *shown("nothing to remove", quiet),
        *shown("while it removes", beside),
        *(
            Figure(name, statistics.median(rates[key]), "messages/s", runs=rates[key])
            for key, name in (
                ("alone", "drain, nothing to remove"),
                ("beside", "drain while it removes"),
                ("removed", "removed"),
            )
        ),
        Figure("rounds in which it was through before the drain", early),
        Figure("drain, ratio", statistics.median(ratios), "", Bound(">=", 0.75), runs=ratios),
    ]


def upkeep(bench: Bench) -> list[Figure]:
    """One message after the other of a tenant, while something is done to another's million."""
    total = bench.options.upkeep_messages
    size = fill.Size(
        waiting=2 * total,
        finished=2 * (total // 5),
        tenants=2,
        accounts=2,
        due_in=_FAR_SECONDS,
    )
    figures: list[Figure] = []
    with _filled(bench, size, one_batch=True) as (proxy, _, single):
        probes = Probes(bench, proxy, single)
        figures += shown("nothing", probes.some(_PROBES))
        for name, method, path, body in _CALLS:
            call = BackgroundCall(proxy, method, path, body)
            found = probes.during(call, _PROBES)
            answer = call.finish().decode()
            took = Figure(f"{name}: answered after", call.seconds, "s", note=answer[:100])
            figures += [took, *shown(name, found)]
    return figures


_OF_OTHER = "tenant_id=t1"
_BATCH = f"{_OF_OTHER}&batch_code={fill.ONE_BATCH}"
_CALLS = (
    ("activate", "POST", f"/commands/activate?{_OF_OTHER}", None),
    ("suspend batch", "POST", f"/commands/suspend?{_BATCH}", None),
    ("activate batch", "POST", f"/commands/activate?{_BATCH}", None),
    # From here on, so that nothing is sent that was put back.
    ("suspend", "POST", f"/commands/suspend?{_OF_OTHER}", None),
    (
        "retry batch",
        "POST",
        f"/commands/retry-messages?{_OF_OTHER}",
        json.dumps({"batch_code": fill.FAILED_BATCH}).encode(),
    ),
    ("delete account", "DELETE", f"/account/a1?{_OF_OTHER}", None),
    ("delete tenant", "DELETE", "/tenant/t1", None),
)


@contextmanager
def _filled(
    bench: Bench, size: fill.Size, *, one_batch: bool = False
) -> Iterator[tuple[Proxy, SmtpSink, RecordingSink]]:
    home, url = bench.new_directory("home"), bench.new_database()
    with bench.proxy(home=home, database_url=url):
        pass  # makes the tables
    database = url or str(_sqlite_file(home))
    with bench.smtp_sink() as sink, bench.recording_sink() as single:
        fill.fill(database, fill.Size(**{**vars(size), "smtp_port": sink.port}))
        if one_batch:
            fill.make_batches(database)
        with bench.proxy(home=home, database_url=url, settings=_SETTINGS) as proxy:
            time.sleep(1.0)
            yield proxy, sink, single


def _cleanup(number: int) -> tuple[str, bytes]:
    tenant = "default" if number == 0 else f"t{number}"
    body = json.dumps({"older_than_seconds": _WEEK}).encode()
    return f"/commands/cleanup-messages?tenant_id={tenant}", body


def _drain(bench: Bench, proxy: Proxy, sink: SmtpSink, prefix: str) -> float:
    """Messages a second from `activate` to the last acceptance."""
    total = bench.options.drain_messages
    proxy.suspend()
    bench.queue(proxy, prefix, total, tenant_id="default", account_id="a0")
    target = sink.count() + total
    started = time.monotonic()
    proxy.activate()
    ended = bench.wait_accepted(proxy, sink, target)
    proxy.wait_until_idle(bench.options.stall_seconds)
    return total / (ended - started)


def _sqlite_file(home: Path) -> Path:
    (found,) = (home / INSTANCE).glob("*.db")
    return found
