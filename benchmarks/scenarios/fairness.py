"""How long one message of a tenant waits beside another tenant's backlog that drains."""

import random
import time

from tests.harness import messages
from tests.harness.faulty_path import FaultyPath
from tests.harness.proxy import ProxyProcess
from tests.harness.sinks import RecordingSink, wait_for

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure, percentile

_SINGLE_MESSAGES = 20
_PAUSES_SECONDS = (0.1, 0.9)
#: As urgent as the backlog, and more urgent: one after the other.
_PRIORITIES = ("low", "medium")
_SLOW_PATH_SECONDS = 0.05
_FIRST_ARRIVALS = 100


def fairness(bench: Bench) -> list[Figure]:
    """The other tenant's server is quick, then slow: connections or the database are scarce."""
    figures: list[Figure] = []
    with bench.recording_sink() as single, bench.recording_sink() as bulk:
        figures += _beside(bench, single, bulk, bulk.port, "quick")
    with bench.recording_sink() as single, bench.recording_sink() as bulk:
        with FaultyPath(bulk.port, _SLOW_PATH_SECONDS) as path:
            figures += _beside(bench, single, bulk, path.port, "slow")
    return figures


def _beside(
    bench: Bench, single: RecordingSink, bulk: RecordingSink, bulk_port: int, how: str
) -> list[Figure]:
    total = bench.options.fairness_messages
    pauses = random.Random(bench.options.seed)
    waits: list[tuple[float, float]] = []
    with bench.fresh_proxy() as proxy:
        for tenant, port in (("single", single.port), ("bulk", bulk_port)):
            proxy.add_tenant(tenant)
            proxy.add_account(port, tenant_id=tenant)
        _one(bench, proxy, single, 0)  # imports, the first connection
        proxy.suspend("bulk")
        bench.queue(proxy, "bulk", total, tenant_id="bulk", priority="low")
        proxy.activate("bulk")
        bench.wait_accepted(proxy, bulk, min(total, _FIRST_ARRIVALS))
        begun, before = time.monotonic(), bulk.count()
        for number in range(1, _SINGLE_MESSAGES + 1):
            time.sleep(pauses.uniform(*_PAUSES_SECONDS))
            waits.append(_one(bench, proxy, single, number))
        rate = (bulk.count() - before) / (time.monotonic() - begun)
        left = total - bulk.count()
    from_call = [of_call for of_call, _ in waits]
    from_answer = [of_answer for _, of_answer in waits]
    return [
        Figure(f"{how}: answer to acceptance, p50", percentile(from_answer, 50), "ms"),
        Figure(f"{how}: answer to acceptance, slowest", max(from_answer), "ms", Bound("<=", 1000)),
        Figure(f"{how}: call to acceptance, p50", percentile(from_call, 50), "ms"),
        Figure(f"{how}: call to acceptance, slowest", max(from_call), "ms"),
        Figure(f"{how}: the backlog meanwhile", rate, "messages/s"),
        Figure(f"{how}: left of the backlog", left, "messages", Bound(">=", 1)),
    ]


def _one(
    bench: Bench, proxy: ProxyProcess, sink: RecordingSink, number: int
) -> tuple[float, float]:
    """Milliseconds from the start of the call, and from its answer, to the sink's acceptance."""
    priority = _PRIORITIES[number % len(_PRIORITIES)]
    body = messages.call(
        "single", number, 1, bench.options.size_bytes, tenant_id="single", priority=priority
    )
    called_ns = time.monotonic_ns()
    proxy.add_messages(body, 1)
    answered_ns = time.monotonic_ns()
    mail_id = messages.mail_id("single", number)
    wait_for(
        lambda: int(sink.accepted_at(mail_id) is not None),
        1,
        stall_seconds=bench.options.stall_seconds,
        interval=0.002,
        alive=proxy.check_alive,
    )
    accepted_ns = sink.accepted_ns[mail_id]
    return (accepted_ns - called_ns) / 1e6, (accepted_ns - answered_ns) / 1e6
