"""Resident memory: doing nothing, and while a long queue is drained."""

import time

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure

_SETTLE_SECONDS = 3.0
_SAMPLE_SECONDS = 0.02
_MEGABYTE = 1e6


def memory(bench: Bench) -> list[Figure]:
    total = bench.options.memory_messages
    home, database_url = bench.new_directory("home"), bench.new_database()
    with bench.proxy(home=home, database_url=database_url):
        pass  # the first start makes the schema, and keeps the tools for that in memory
    with bench.smtp_sink() as sink, bench.proxy(home=home, database_url=database_url) as proxy:
        proxy.add_account(sink.port)
        time.sleep(_SETTLE_SECONDS)
        idle = proxy.usage().rss_bytes
        proxy.suspend()
        bench.queue(proxy, "memory", total)
        after_intake = proxy.usage().rss_bytes
        most = [after_intake]

        def sample() -> None:
            proxy.check_alive()
            most.append(proxy.usage().rss_bytes)

        proxy.activate()
        bench.wait_accepted(proxy, sink, total, meanwhile=sample, interval=_SAMPLE_SECONDS)
        proxy.wait_until_idle(bench.options.stall_seconds)
        sample()
    return [
        Figure("RSS, idle", idle / _MEGABYTE, "MB", Bound("<=", 90)),
        Figure("RSS after intake", after_intake / _MEGABYTE, "MB", note=f"{total} messages"),
        Figure("most RSS while draining", max(most) / _MEGABYTE, "MB", Bound("<=", 200)),
        Figure("RSS afterwards", most[-1] / _MEGABYTE, "MB"),
    ]
