"""Does a long history slow the queue down?"""

import statistics
import time
from pathlib import Path

from tests.harness.proxy import ProxyProcess

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.smtp_sink import SmtpSink

_LEAST_ROUNDS = 3  # single drains scatter more than the bound allows
_WARM_UP_MESSAGES = 1000
_FILL_STEP = 20_000


def drain(bench: Bench) -> list[Figure]:
    """Empty and filled database in changing order, each with a newly started proxy."""
    options = bench.options
    empty: list[float] = []
    filled: list[float] = []
    with bench.smtp_sink() as sink:
        home, url = bench.new_directory("home"), bench.new_database()
        with bench.proxy(home=home, database_url=url) as proxy:
            proxy.add_account(sink.port)
            fill_rate = _fill(bench, proxy, sink)
        for number in range(max(_LEAST_ROUNDS, options.repeat)):
            if number % 2:
                filled.append(_filled_rate(bench, sink, home, url, number))
            with bench.fresh_proxy(sink) as proxy:
                empty.append(_drain_rate(bench, proxy, sink, f"empty{number}"))
            if not number % 2:
                filled.append(_filled_rate(bench, sink, home, url, number))
    with_history = f"drain, {options.finished} finished"
    ratios = [with_it / without for with_it, without in zip(filled, empty, strict=True)]
    return [
        Figure("while filling, end to end", fill_rate, "messages/s"),
        Figure("drain, empty database", statistics.median(empty), "messages/s", runs=empty),
        Figure(with_history, statistics.median(filled), "messages/s", runs=filled),
        Figure("filled to empty", statistics.median(ratios), "", Bound(">=", 0.85), runs=ratios),
    ]


def _filled_rate(bench: Bench, sink: SmtpSink, home: Path, url: str | None, number: int) -> float:
    with bench.proxy(home=home, database_url=url) as proxy:
        return _drain_rate(bench, proxy, sink, f"filled{number}")


def _fill(bench: Bench, proxy: ProxyProcess, sink: SmtpSink) -> float:
    """Really delivered, in steps so that no long queue builds up."""
    started = time.monotonic()
    for first in range(0, bench.options.finished, _FILL_STEP):
        step = min(_FILL_STEP, bench.options.finished - first)
        _deliver(bench, proxy, sink, f"fill{first}", step)
    proxy.wait_until_idle(bench.options.stall_seconds)
    return bench.options.finished / (time.monotonic() - started)


def _deliver(bench: Bench, proxy: ProxyProcess, sink: SmtpSink, prefix: str, total: int) -> None:
    target = sink.count() + total
    bench.queue(proxy, prefix, total)
    bench.wait_accepted(proxy, sink, target)


def _drain_rate(bench: Bench, proxy: ProxyProcess, sink: SmtpSink, prefix: str) -> float:
    """From `activate` to the last acceptance, of messages queued while suspended."""
    total = bench.options.drain_messages
    _deliver(bench, proxy, sink, f"{prefix}w", _WARM_UP_MESSAGES)
    proxy.wait_until_idle(bench.options.stall_seconds)
    proxy.suspend()
    target = sink.count() + total
    bench.queue(proxy, prefix, total)
    started = time.monotonic()
    proxy.activate()
    ended = bench.wait_accepted(proxy, sink, target)
    proxy.wait_until_idle(bench.options.stall_seconds)
    return total / (ended - started)
