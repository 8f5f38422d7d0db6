"""What each stage in the life of a message costs the proxy's processors.

A sampling profiler (py-spy) watches from outside who holds Python's interpreter lock, while
messages are taken in, delivered and reported. What the processes used beyond that is the
database engine and the kernel: SQLite's statements and the commits run without the lock.
"""

import signal
import subprocess
from collections import Counter
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.endpoint import Endpoint
from benchmarks.errors import BenchmarkError, NotAvailable
from benchmarks.figures import Figure
from benchmarks.peers.peer import python_environment
from benchmarks.sinks import wait_for

_PROFILER = "py-spy==0.4.3"
_SAMPLES_PER_SECOND = 200
_LOOP = "event loop, other"
#: By the innermost frame whose file has one of these in its path; the first that fits.
_STAGES = {
    "mail_proxy/smtp/compose": "compose",
    "mail_proxy/smtp/headers": "compose",
    "mail_proxy/smtp/": "SMTP",
    "mail_proxy/delivery/settlement": "outcome",
    "mail_proxy/delivery/recorder": "outcome",
    "mail_proxy/delivery/pipeline": "SMTP",
    "mail_proxy/delivery/": "claim",
    "mail_proxy/reporting/": "report",
    "mail_proxy/operations/": "intake",
    "mail_proxy/wire/": "intake",
    "mail_proxy/api/": "intake",
    "uvicorn/protocols/": "intake",
}


def stages(bench: Bench) -> list[Figure]:
    profiler = python_environment("py-spy", _PROFILER, install=bench.options.install)
    total = bench.options.messages
    with bench.smtp_sink() as sink, bench.fresh_proxy(sink) as proxy:
        with Endpoint(bench.children, bench.new_directory("endpoint")) as endpoint:
            proxy.report_to(endpoint.url)
            samples = bench.new_directory("samples")
            watching = _watch(bench, profiler, proxy.pid, samples)
            before = proxy.usage().cpu_seconds
            bench.queue(proxy, "stages", total)
            bench.wait_accepted(proxy, sink, total)
            wait_for(endpoint.count, total, stall_seconds=bench.options.stall_seconds)
            cpu_seconds = proxy.usage().cpu_seconds - before
            _finish(watching)
    seconds = _seconds(samples)
    locked = sum(seconds.values())
    # On a busy machine a thread holds the lock while it waits for a processor.
    scale = min(1, cpu_seconds / locked) / total * 1e6
    parts = [*dict.fromkeys(_STAGES.values()), _LOOP]
    return [
        Figure("CPU per message, reports included", cpu_seconds / total * 1e6, "us"),
        *(Figure(part, seconds[part] * scale, "us") for part in parts),
        Figure("database engine, kernel", max(0, cpu_seconds - locked) / total * 1e6, "us"),
    ]


def _watch(bench: Bench, python: Path, pid: int, output: Path) -> subprocess.Popen[bytes]:
    options = ["--gil", "--rate", str(_SAMPLES_PER_SECOND), "--format", "raw"]
    command: list[str | Path] = [python.with_name("py-spy"), "record", "--subprocesses"]
    command += ["--pid", str(pid), *options, "--output", output]
    return bench.children.start("profiler", command, stderr=subprocess.DEVNULL)


def _finish(watching: subprocess.Popen[bytes]) -> None:
    watching.send_signal(signal.SIGINT)
    watching.wait(60)


def _seconds(samples: Path) -> Counter[str]:
    """How long each stage held the lock."""
    if not samples.exists():
        raise NotAvailable("the profiler may not look into the proxy; try as root")
    counts: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, number = line.rpartition(" ")
        counts[_stage(stack)] += int(number)
    if not counts:
        raise BenchmarkError("the profiler saw nothing")
    return Counter({part: count / _SAMPLES_PER_SECOND for part, count in counts.items()})


def _stage(stack: str) -> str:
    for frame in reversed(stack.split(";")):
        for place, stage in _STAGES.items():
            if place in frame:
                return stage
    return _LOOP
