"""kill -9 in the middle of a drain: nothing may be lost, copies are counted."""

import random
import statistics
import time

from tests.harness.errors import HarnessError
from tests.harness.proxy import ProxyProcess
from tests.harness.sinks import RecordingSink, wait_for

from benchmarks.bench import Bench
from benchmarks.figures import Figure
from benchmarks.scenarios.throughput import arrivals

_JITTER_SECONDS = 0.02
_LAST_KILL = 0.9  # part of the messages that may have arrived by then
_LATE_COPY_SECONDS = 2.0


def crash(bench: Bench) -> list[Figure]:
    options = bench.options
    total = options.crash_messages
    chance = random.Random(options.seed)
    moments = sorted(chance.sample(range(1, int(total * _LAST_KILL)), options.kills))
    with bench.recording_sink() as sink, bench.fresh_proxy(sink) as proxy:
        proxy.suspend()
        bench.queue(proxy, "crash", total)
        proxy.activate()
        restarts = [
            _kill_at(bench, proxy, sink, moment, chance.uniform(0, _JITTER_SECONDS))
            for moment in moments
        ]
        recovered = _rest(bench, proxy, sink, total)
        return [
            *arrivals(sink, total, copies_allowed=True),
            Figure("kills", len(moments), note=f"seed {options.seed}, at about {moments}"),
            Figure("restart to ready", statistics.median(restarts), "s", runs=restarts),
            Figure("last restart to last message", recovered, "s"),
        ]


def _kill_at(
    bench: Bench, proxy: ProxyProcess, sink: RecordingSink, moment: int, jitter_seconds: float
) -> float:
    """Seconds that the restart took."""
    wait_for(
        sink.distinct,
        moment,
        stall_seconds=bench.options.stall_seconds,
        interval=0.002,
        alive=proxy.check_alive,
    )
    time.sleep(jitter_seconds)
    proxy.kill()
    started = time.monotonic()
    proxy.start()
    return time.monotonic() - started


def _rest(bench: Bench, proxy: ProxyProcess, sink: RecordingSink, total: int) -> float:
    """Seconds until the last message came, or until nothing more came for long."""
    started = time.monotonic()
    stall_seconds = bench.options.stall_seconds
    ended = started
    try:
        ended = wait_for(sink.distinct, total, stall_seconds=stall_seconds, alive=proxy.check_alive)
        proxy.wait_until_idle(stall_seconds)
    except HarnessError:
        proxy.check_alive()
        return time.monotonic() - started
    time.sleep(_LATE_COPY_SECONDS)
    return ended - started
