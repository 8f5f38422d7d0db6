"""First POST to last accepted, and the same mail from Postfix's own load generator."""

import statistics
import time

from tests.harness import messages
from tests.harness.errors import HarnessError
from tests.harness.proxy import ProxyProcess
from tests.harness.sinks import RecordingSink, Sink

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.smtp_sink import SmtpSink, postfix_tool

_REFERENCE_RUNS = 3  # each takes about a second and they scatter
_LATE_COPY_SECONDS = 1.0
_MEBIBYTE = 1024 * 1024
_RATIOS = {"sqlite": 0.25, "postgresql": 0.22}
_CPU_MICROSECONDS = 350


def reference(bench: Bench) -> list[Figure]:
    with bench.smtp_sink() as sink:
        return [smtp_source(bench, sink)]


def end_to_end(bench: Bench) -> list[Figure]:
    total = bench.options.messages
    with bench.smtp_sink() as sink:
        yardstick = smtp_source(bench, sink)
        with bench.fresh_proxy(sink) as proxy:
            run = Run(bench, proxy, sink)
            sent = proxy.ids_with_status("sent")
        rate = total / run.seconds
        least = Bound(">=", _RATIOS[bench.options.database])
        return [
            yardstick,
            Figure("end to end", rate, "messages/s"),
            Figure("ratio to smtp-source", rate / yardstick.value, "", least),
            Figure("last POST answered after", run.intake_seconds, "s"),
            *_costs(bench, run),
            Figure("accepted by smtp-sink", run.accepted, "", Bound("=", total)),
            Figure("distinct ids with status sent", len(set(sent)), "", Bound("=", total)),
        ]


def exactly_once(bench: Bench) -> list[Figure]:
    """The same load, but to the sink that knows each message; slower than smtp-sink."""
    total = bench.options.messages
    with bench.recording_sink() as sink, bench.fresh_proxy(sink) as proxy:
        run = Run(bench, proxy, sink)
        return [Figure("end to end", total / run.seconds, "messages/s"), *arrivals(sink, total)]


def arrivals(sink: RecordingSink, total: int, *, copies_allowed: bool = False) -> list[Figure]:
    copies = sink.copies()
    listed = ", ".join(f"{mail_id} +{more}" for mail_id, more in sorted(copies.items()))
    return [
        Figure("lost", total - sink.distinct(), "messages", Bound("=", 0)),
        Figure(
            "copies",
            sum(copies.values()),
            "messages",
            None if copies_allowed else Bound("=", 0),
            note=listed,
        ),
    ]


class Run:
    """One load of messages, measured. The calls are prepared before the clock starts."""

    def __init__(self, bench: Bench, proxy: ProxyProcess, sink: Sink) -> None:
        total = bench.options.messages
        calls = list(messages.calls("e2e", total, bench.options.size_bytes))
        earlier = sink.count()
        before = proxy.usage()
        self.begun = started = bench.calibration.begin()
        for number, body in calls:
            proxy.add_messages(body, number)
        self.intake_seconds = time.monotonic() - started
        self.seconds = bench.wait_accepted(proxy, sink, earlier + total) - started
        proxy.wait_until_idle(bench.options.stall_seconds)
        self.usage = proxy.usage()
        self.cpu_seconds = self.usage.cpu_seconds - before.cpu_seconds
        time.sleep(_LATE_COPY_SECONDS)
        self.accepted = sink.count() - earlier


def _costs(bench: Bench, run: Run) -> list[Figure]:
    total = bench.options.messages
    return [
        *bench.cpu("CPU per message", run.cpu_seconds, total, run.begun, _CPU_MICROSECONDS),
        Figure("peak RSS", run.usage.peak_rss_bytes / _MEBIBYTE, "MiB"),
        Figure("final RSS", run.usage.rss_bytes / _MEBIBYTE, "MiB"),
        Figure("processes", run.usage.processes),
    ]


def smtp_source(bench: Bench, sink: SmtpSink) -> Figure:
    total = bench.options.messages
    rates = [total / _smtp_source(bench, sink) for _ in range(_REFERENCE_RUNS)]
    return Figure("smtp-source", statistics.median(rates), "messages/s", runs=rates)


def _smtp_source(bench: Bench, sink: SmtpSink) -> float:
    """Seconds from start to end of one run."""
    total = bench.options.messages
    earlier = sink.count()
    started = time.monotonic()
    size = ["-m", str(total), "-l", str(bench.options.size_bytes)]
    command = [postfix_tool("smtp-source"), "-d", "-s", "10", *size, f"127.0.0.1:{sink.port}"]
    process = bench.children.start("smtp-source", command)
    code = process.wait(bench.options.stall_seconds)
    seconds = time.monotonic() - started
    bench.children.kill(process)
    if code != 0 or sink.count() - earlier != total:
        raise HarnessError(f"smtp-source: code {code}, {sink.count() - earlier} of {total}")
    return seconds
