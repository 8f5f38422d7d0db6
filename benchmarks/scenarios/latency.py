"""How long an idle proxy keeps a message: the POST's answer to the sink's acceptance."""

import random
import time

from tests.harness import messages
from tests.harness.proxy import ProxyProcess
from tests.harness.sinks import RecordingSink, wait_for

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure, percentile

_PAUSES_SECONDS = (0.03, 0.09)  # irregular, so as not to keep step with a polling interval


def latency(bench: Bench) -> list[Figure]:
    pauses = random.Random(bench.options.seed)
    with bench.recording_sink() as sink, bench.fresh_proxy(sink) as proxy:
        _one(bench, proxy, sink, 0)  # imports, the first connection
        delays_ms = []
        for number in range(1, bench.options.latency_calls + 1):
            time.sleep(pauses.uniform(*_PAUSES_SECONDS))
            delays_ms.append(_one(bench, proxy, sink, number))
    return [
        Figure("answer to acceptance, p50", percentile(delays_ms, 50), "ms", Bound("<=", 8)),
        Figure("answer to acceptance, p99", percentile(delays_ms, 99), "ms", Bound("<=", 25)),
        Figure("slowest", max(delays_ms), "ms"),
    ]


def _one(bench: Bench, proxy: ProxyProcess, sink: RecordingSink, number: int) -> float:
    """Milliseconds; below zero when the sink had the message before we had the answer."""
    proxy.add_messages(messages.call("idle", number, 1, bench.options.size_bytes), 1)
    answered_ns = time.monotonic_ns()
    mail_id = messages.mail_id("idle", number)
    wait_for(
        lambda: int(sink.accepted_at(mail_id) is not None),
        1,
        stall_seconds=bench.options.stall_seconds,
        interval=0.002,
        alive=proxy.check_alive,
    )
    return (sink.accepted_ns[mail_id] - answered_ns) / 1e6
