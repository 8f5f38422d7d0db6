"""Storing alone: the dispatcher is off."""

import time

from tests.harness import messages
from tests.harness.errors import HarnessError
from tests.harness.proxy import ProxyProcess

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure, percentile

_UNUSED_PORT = 9  # an account has to exist, but nothing is sent to it
_NO_DISPATCHER = {"GMP_SCHEDULER_ACTIVE": "false"}


def intake(bench: Bench) -> list[Figure]:
    with bench.fresh_proxy(settings=_NO_DISPATCHER) as proxy:
        proxy.add_account(_UNUSED_PORT)
        figures = [*_large_calls(bench, proxy), *_single_calls(bench, proxy)]
        expected = bench.options.messages + bench.options.single_calls
        stored = proxy.pending()
    return [*figures, Figure("stored of those", stored, "messages", Bound("=", expected))]


def _large_calls(bench: Bench, proxy: ProxyProcess) -> list[Figure]:
    total = bench.options.messages
    calls = list(messages.calls("large", total, bench.options.size_bytes))
    before = proxy.usage().cpu_seconds
    started = bench.calibration.begin()
    for number, body in calls:
        proxy.add_messages(body, number)
    seconds = time.monotonic() - started
    cpu_seconds = proxy.usage().cpu_seconds - before
    return [
        Figure("1000-message calls", total / seconds, "messages/s"),
        *bench.cpu("CPU per message in those", cpu_seconds, total, started),
    ]


def _single_calls(bench: Bench, proxy: ProxyProcess) -> list[Figure]:
    options = bench.options
    job = load.Job(
        port=proxy.port,
        token=proxy.token,
        prefix="single",
        clients=options.clients,
        calls=options.single_calls,
        size_bytes=options.size_bytes,
    )
    before, begun = proxy.usage().cpu_seconds, bench.calibration.begin()
    outcome = load.run_job(bench.children, job, limit_seconds=options.stall_seconds)
    cpu_seconds = proxy.usage().cpu_seconds - before
    if outcome.failures:
        raise HarnessError(f"single calls failed: {outcome.failures}")
    name = f"single calls, {options.clients} clients"
    return [
        Figure(name, options.single_calls / outcome.seconds, "calls/s", Bound(">=", 1500)),
        Figure(f"{name}, p50", percentile(outcome.latencies_ms, 50), "ms"),
        Figure(f"{name}, p99", percentile(outcome.latencies_ms, 99), "ms"),
        *bench.cpu("CPU per single call", cpu_seconds, options.single_calls, begun),
    ]
