"""Does a long queue slow its own draining down?"""

import statistics
import time

from tests.harness.proxy import ProxyProcess

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.smtp_sink import SmtpSink

_ROUNDS = 3
_WARM_UP_MESSAGES = 1000


def backlog(bench: Bench) -> list[Figure]:
    """The first messages of a long queue, and a queue of just as many, in turn."""
    part, waiting = bench.options.drain_messages, bench.options.waiting
    short: list[float] = []
    long: list[float] = []
    with bench.smtp_sink() as sink, bench.fresh_proxy(sink) as proxy:
        _warm_up(bench, proxy, sink)
        proxy.suspend()
        started = time.monotonic()
        bench.queue(proxy, "long", waiting)
        intake_rate = waiting / (time.monotonic() - started)
        for number in range(max(_ROUNDS, bench.options.repeat)):
            with bench.fresh_proxy(sink) as other:
                _warm_up(bench, other, sink)
                other.suspend()
                bench.queue(other, f"short{number}", part)
                short.append(_rate(bench, other, sink, part))
            long.append(_rate(bench, proxy, sink, part))
    ratios = [one / other for one, other in zip(long, short, strict=True)]
    return [
        Figure("intake of the long queue", intake_rate, "messages/s"),
        Figure(f"drain, {part} waiting", statistics.median(short), "messages/s", runs=short),
        Figure(f"drain, {waiting} waiting", statistics.median(long), "messages/s", runs=long),
        Figure("long to short", statistics.median(ratios), "", Bound(">=", 0.9), runs=ratios),
    ]


def _warm_up(bench: Bench, proxy: ProxyProcess, sink: SmtpSink) -> None:
    target = sink.count() + _WARM_UP_MESSAGES
    bench.queue(proxy, "warm", _WARM_UP_MESSAGES)
    bench.wait_accepted(proxy, sink, target)
    proxy.wait_until_idle(bench.options.stall_seconds)


def _rate(bench: Bench, proxy: ProxyProcess, sink: SmtpSink, part: int) -> float:
    """Of `part` messages, from `activate` on; what was claimed is let out before it returns."""
    target = sink.count() + part
    started = time.monotonic()
    proxy.activate()
    seconds = bench.wait_accepted(proxy, sink, target) - started
    proxy.suspend()
    _wait_until_quiet(sink)
    return part / seconds


def _wait_until_quiet(sink: SmtpSink, seconds: float = 1.0) -> None:
    """Until nothing has arrived for so long."""
    count, since = sink.count(), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(seconds / 20)
        if (now := sink.count()) != count:
            count, since = now, time.monotonic()
