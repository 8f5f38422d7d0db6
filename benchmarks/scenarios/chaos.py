"""The harness's chaos as a measurement: nothing lost, every copy explained."""

from collections import Counter

from tests.harness.chaos import Storm
from tests.harness.chaos import chaos as run

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure


def chaos(bench: Bench) -> list[Figure]:
    """Return the toll of the faults as figures."""
    toll = run(bench, Storm(bench.options.chaos_messages, bench.options.faults))
    unexplained = ", ".join(toll.unexplained)
    return [
        Figure("lost", toll.lost, "messages", Bound("=", 0)),
        Figure("not in state sent", toll.not_sent, "messages", Bound("=", 0)),
        Figure("copies without explanation", toll.copies[""], "", Bound("=", 0), unexplained),
        Figure("copies after an uncertain end", toll.copies["uncertain"]),
        Figure("copies after a kill", toll.copies["kill"]),
        Figure("copies after a database outage", toll.copies["database"]),
        Figure("until the last fault", toll.fault_seconds, "s"),
        Figure("until the last message", toll.seconds, "s"),
        Figure("calls without answer", toll.answers["none"]),
        Figure("calls answered 503", toll.answers["503"]),
        Figure("faults", toll.faults.total(), note=_listed(toll.faults)),
    ]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {fault}" for fault, count in sorted(counts.items()))
