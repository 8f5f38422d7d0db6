"""How soon tenants are told, alone and beside tenants whose applications are sick."""

import json
import time
from collections.abc import Callable

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure, percentile
from benchmarks.proxy import Proxy
from benchmarks.sinks import RecordingSink, wait_for

#: How the first of every 20 tenants behave: 10 hang, 10 fail, 5 talk rubbish in a hundred.
_SICK = ("hang",) * 2 + ("fail",) * 2 + ("rubbish",)
_NO_WORSE = Bound("<=", 1.5)
_TICK_SECONDS = 0.1
_TENANTS_A_TICK = 10


def reports(bench: Bench) -> list[Figure]:
    """The same tenants count in both rounds: those that are healthy in the second."""
    alone = _round(bench, lambda number: "ok")
    beside = _round(bench, _way)
    return [
        *_figures("alone", alone),
        *_figures("beside the sick", beside),
        Figure(
            "p99 beside to alone", percentile(beside, 99) / percentile(alone, 99), "", _NO_WORSE
        ),
    ]


def _way(number: int) -> str:
    place = number % 20
    return _SICK[place] if place < len(_SICK) else "ok"


def _figures(name: str, delays_ms: list[float]) -> list[Figure]:
    return [
        Figure(f"acceptance to report, {name}, p50", percentile(delays_ms, 50), "ms"),
        Figure(f"acceptance to report, {name}, p99", percentile(delays_ms, 99), "ms"),
        Figure(f"slowest, {name}", max(delays_ms), "ms", note=f"of {len(delays_ms)}"),
    ]


def _round(bench: Bench, way: Callable[[int], str]) -> list[float]:
    """Milliseconds from the sink's acceptance to the arrival of the report, healthy tenants."""
    options = bench.options
    with (
        bench.recording_sink() as sink,
        bench.applications() as endpoint,
        bench.fresh_proxy() as proxy,
    ):
        for number in range(options.report_tenants):
            _tenant(proxy, number, sink.port, f"http://127.0.0.1:{endpoint.port}/{way(number)}")
        ids = _load(bench, proxy)
        healthy = [id_ for number, id_ in ids if _way(number) == "ok"]
        _wait(bench, proxy, sink, {id_ for _, id_ in ids})
        _wait(bench, proxy, endpoint, set(healthy))
        return [(endpoint.accepted_ns[i] - sink.accepted_ns[i]) / 1e6 for i in healthy]


def _tenant(proxy: Proxy, number: int, sink_port: int, url: str) -> None:
    tenant = f"t{number:04d}"
    proxy.request(
        "POST", "/tenant", json.dumps({"id": tenant, "client_base_url": f"{url}/{tenant}"}).encode()
    )
    proxy.add_account(sink_port, tenant_id=tenant)


def _load(bench: Bench, proxy: Proxy) -> list[tuple[int, str]]:
    """A few tenants hand over a message each, ten times a second; all take turns."""
    options, ids = bench.options, []
    begun = time.monotonic()
    for tick in range(int(options.report_seconds / _TICK_SECONDS)):
        numbers = [
            number % options.report_tenants
            for number in range(tick * _TENANTS_A_TICK, (tick + 1) * _TENANTS_A_TICK)
        ]
        new = [(number, f"t{number:04d}-{tick:06d}") for number in numbers]
        proxy.add_messages(_call(new), len(new))
        ids += new
        time.sleep(max(0.0, begun + (tick + 1) * _TICK_SECONDS - time.monotonic()))
    return ids


def _call(ids: list[tuple[int, str]]) -> bytes:
    mail = {"from": "bench@example.com", "to": ["user@example.org"], "subject": "s", "body": "b\n"}
    return json.dumps(
        {"messages": [{**mail, "id": id_, "tenant_id": f"t{number:04d}"} for number, id_ in ids]}
    ).encode()


def _wait(bench: Bench, proxy: Proxy, server: RecordingSink, ids: set[str]) -> None:
    wait_for(
        lambda: server.distinct() and len(ids & server.accepted_ns.keys()),
        len(ids),
        stall_seconds=bench.options.stall_seconds,
        interval=0.05,
        alive=proxy.check_alive,
    )
