"""End to end on PostgreSQL, with one process and with more."""

import subprocess
from dataclasses import replace

from tests.harness.proxy import ProxyProcess

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.scenarios.throughput import Run, smtp_source

_COUNTS = (1, 2, 3)


def workers(bench: Bench) -> list[Figure]:
    total = bench.options.messages
    launches = {"defaults": bench.options.launch}
    if _knows_workers(bench):
        launches |= {f"--workers {n}": replace(bench.options.launch, workers=n) for n in _COUNTS}
    figures: list[Figure] = []
    with bench.smtp_sink() as sink:
        yardstick = smtp_source(bench, sink)
        ratios = {}
        for label, launch in launches.items():
            home, url = bench.new_directory("home"), bench.postgres().new_database()
            with ProxyProcess(bench.children, launch, home, database_url=url) as proxy:
                proxy.add_account(sink.port)
                run = Run(bench, proxy, sink)
            figures += [
                Figure(f"end to end, {label}", total / run.seconds, "messages/s"),
                *bench.cpu(f"CPU per message, {label}", run.cpu_seconds, total, run.begun),
            ]
            ratios[label] = total / run.seconds / yardstick.value
        best = max(ratios, key=lambda label: ratios[label])
    bound = Bound(">=", 0.22)
    return [yardstick, *figures, Figure("best to smtp-source", ratios[best], "", bound, note=best)]


def _knows_workers(bench: Bench) -> bool:
    command = [*bench.options.launch.command, "start", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return "--workers" in shown.stdout
