"""Does an account whose server hangs slow down another tenant's account?"""

import statistics
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.sinks import RecordingSink, SmtpSink, wait_for

#: Where the server falls silent: before the session, and inside a transaction.
_SILENCES = ("greeting", "DATA")
_LEAST_ROUNDS = 3
_WARM_UP_MESSAGES = 1000
_HANGING_MESSAGES = 3000
_CONNECTIONS = 10  # the default of max_concurrent_per_account
_ESTABLISHED = "01"


def hang(bench: Bench) -> list[Figure]:
    """With and without, in changing order, each on a new instance."""
    figures: list[Figure] = []
    for silence in _SILENCES:
        alone: list[float] = []
        beside: list[float] = []
        with bench.smtp_sink() as sink, bench.recording_sink(silence) as silent:
            for number in range(max(_LEAST_ROUNDS, bench.options.repeat)):
                if number % 2:
                    beside.append(_rate(bench, sink, silent))
                alone.append(_rate(bench, sink, None))
                if not number % 2:
                    beside.append(_rate(bench, sink, silent))
        ratio = statistics.median(beside) / statistics.median(alone)
        pairs = [with_it / without for with_it, without in zip(beside, alone, strict=True)]
        figures += [
            Figure(f"alone ({silence})", statistics.median(alone), "messages/s", runs=alone),
            Figure(
                f"beside one silent at {silence}",
                statistics.median(beside),
                "messages/s",
                runs=beside,
            ),
            Figure(f"ratio ({silence})", ratio, "", Bound(">=", 0.9), "of medians", pairs),
        ]
    return figures


def _rate(bench: Bench, sink: SmtpSink, silent: RecordingSink | None) -> float:
    """From `activate` to the last acceptance, of messages queued while suspended."""
    total = bench.options.hang_messages
    with bench.fresh_proxy(sink) as proxy:
        target = sink.count() + _WARM_UP_MESSAGES
        bench.queue(proxy, "warm", _WARM_UP_MESSAGES, tenant_id="default")
        bench.wait_accepted(proxy, sink, target)
        proxy.suspend()
        bench.queue(proxy, "works", total, tenant_id="default")
        if silent is not None:
            proxy.add_tenant("other")
            proxy.add_account(silent.port, tenant_id="other")
            bench.queue(proxy, "hangs", _HANGING_MESSAGES, tenant_id="other")
            port = silent.port
            stall = bench.options.stall_seconds
            wait_for(lambda: _connections_to(port), _CONNECTIONS, stall_seconds=stall)
        started = time.monotonic()
        proxy.activate()
        return total / (bench.wait_accepted(proxy, sink, target + total) - started)


def _connections_to(port: int) -> int:
    """Connections on loopback that are open now, from the kernel's table."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    there = f":{port:04X}"
    return sum(row[2].endswith(there) and row[3] == _ESTABLISHED for row in rows)
