"""Does an account whose server hangs slow down another tenant's account?"""

import statistics
import time

from tests.harness.sinks import RecordingSink, wait_for

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.smtp_sink import SmtpSink

#: Where the server falls silent (before the session, inside a transaction), for how many accounts.
#: Six could hold each of the 50 connections that `max_concurrent_sends` allows.
_CASES = (("greeting", 1), ("DATA", 1), ("DATA", 6))
_LEAST_ROUNDS = 3
_WARM_UP_MESSAGES = 1000
_HANGING_MESSAGES = 3000
_CONNECTIONS = 10  # the default of max_concurrent_per_account
_ALL_CONNECTIONS = 50  # the default of max_concurrent_sends
_PATIENCE_SECONDS = 20
#: What hangs stops counting against `max_concurrent_sends` after a second, once.
_COUNTED_SECONDS = 1.5
#: Nobody waits at the end for what hangs.
_QUICK_END = {"GMP_SHUTDOWN_TIMEOUT": "0"}


def hang(bench: Bench) -> list[Figure]:
    """With and without, in changing order, each on a new instance."""
    figures: list[Figure] = []
    for silence, accounts in _CASES:
        alone: list[float] = []
        beside: list[float] = []
        with bench.smtp_sink() as sink, bench.recording_sink(silence) as silent:
            for number in range(max(_LEAST_ROUNDS, bench.options.repeat)):
                if number % 2:
                    beside.append(_rate(bench, sink, silent, accounts))
                alone.append(_rate(bench, sink, silent, 0))
                if not number % 2:
                    beside.append(_rate(bench, sink, silent, accounts))
        pairs = [with_it / without for with_it, without in zip(beside, alone, strict=True)]
        case = f"{accounts} silent at {silence}"
        medians = statistics.median(alone), statistics.median(beside)
        ratio = medians[1] / medians[0]
        figures += [
            Figure(f"alone, before and after {case}", medians[0], "messages/s", runs=alone),
            Figure(f"beside {case}", medians[1], "messages/s", runs=beside),
            Figure(f"ratio, {case}", ratio, "", Bound(">=", 0.9), "of medians", pairs),
        ]
    return figures


def _rate(bench: Bench, sink: SmtpSink, silent: RecordingSink, accounts: int) -> float:
    """From `activate` to the last acceptance, of messages queued while suspended."""
    total = bench.options.hang_messages
    with bench.fresh_proxy(sink, _QUICK_END) as proxy:
        target = sink.count() + _WARM_UP_MESSAGES
        bench.queue(proxy, "warm", _WARM_UP_MESSAGES, tenant_id="default")
        bench.wait_accepted(proxy, sink, target)
        proxy.suspend()
        bench.queue(proxy, "works", total, tenant_id="default")
        for number in range(accounts):
            other = {"tenant_id": f"other{number}"}
            proxy.add_tenant(other["tenant_id"])
            proxy.add_account(silent.port, **other)
            bench.queue(proxy, "hangs", _HANGING_MESSAGES // accounts, **other)
        held = min(accounts * _CONNECTIONS, _ALL_CONNECTIONS)
        wait_for(silent.connections, held, stall_seconds=_PATIENCE_SECONDS)
        if accounts:
            time.sleep(_COUNTED_SECONDS)
        started = time.monotonic()
        proxy.activate()
        return total / (bench.wait_accepted(proxy, sink, target + total) - started)
