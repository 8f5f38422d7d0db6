"""End to end with mails of 100 kB and 1 MB."""

from dataclasses import dataclass

from tests.harness import messages

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure

_CALL_BYTES = 8_000_000


@dataclass(frozen=True)
class _Size:
    name: str
    octets: int
    mails: int


_SIZES = (_Size("100 kB", 100_000, 1000), _Size("1 MB", 1_000_000, 200))


def large_mails(bench: Bench) -> list[Figure]:
    return [figure for size in _SIZES for figure in _measured(bench, size)]


def _measured(bench: Bench, size: _Size) -> list[Figure]:
    with bench.smtp_sink() as sink, bench.fresh_proxy(sink) as proxy:
        begun, before = bench.calibration.begin(), proxy.usage().cpu_seconds
        each = max(1, _CALL_BYTES // size.octets)
        for first in range(0, size.mails, each):
            count = min(each, size.mails - first)
            proxy.add_messages(messages.call("large", first, count, size.octets), count)
        ended = bench.wait_accepted(proxy, sink, size.mails)
        proxy.wait_until_idle(bench.options.stall_seconds)
        usage = proxy.usage()
        sent = len(set(proxy.ids_with_status("sent")))
    name = f"mails of {size.name}"
    return [
        Figure(name, size.mails / (ended - begun), "messages/s"),
        *bench.cpu(f"CPU per mail of {size.name}", usage.cpu_seconds - before, size.mails, begun),
        Figure(f"peak RSS, {name}", usage.peak_rss_bytes / 2**20, "MiB"),
        Figure(f"{name} with status sent", sent, "", Bound("=", size.mails)),
    ]
