"""A peer and the proxy, one after the other, with the same mail and the same sink."""

import time
from collections.abc import Callable

from tests.harness.sinks import wait_for

from benchmarks.bench import Bench
from benchmarks.figures import Bound, Figure
from benchmarks.peers.peer import Peer
from benchmarks.peers.postfix import Postfix, PostfixTuned
from benchmarks.scenarios.throughput import Run

PEERS: list[type[Peer]] = [Postfix, PostfixTuned]
_BOUNDS: dict[type[Peer], Bound] = {Postfix: Bound(">=", 6)}
_WARM_UP_MESSAGES = 40


def against(kind: type[Peer]) -> Callable[[Bench], list[Figure]]:
    """The measurement of one peer."""

    def measure(bench: Bench) -> list[Figure]:
        with bench.smtp_sink() as sink:
            peer = kind(bench, sink)
            peer.provide(install=bench.options.install)
            total = bench.options.messages
            with peer:
                begun = bench.calibration.begin()
                theirs, cpu_seconds = _measured(peer, total)
                cpu = bench.cpu("CPU per message", cpu_seconds, total, begun)
            with bench.fresh_proxy(sink) as proxy:
                ours = bench.options.messages / Run(bench, proxy, sink).seconds
        return [
            Figure(kind.name, theirs, "messages/s", note=f"{kind.about}; {peer.versions()}"),
            Figure("messages handed over", total),
            *cpu,
            Figure("the proxy, end to end", ours, "messages/s"),
            Figure(f"the proxy to {kind.name}", ours / theirs, "", _BOUNDS.get(kind)),
        ]

    return measure


def _measured(peer: Peer, total: int) -> tuple[float, float]:
    """Messages a second from the first hand-over to the last acceptance, and CPU seconds."""
    _deliver(peer, _WARM_UP_MESSAGES)
    before = peer.cpu_seconds()
    started = time.monotonic()
    ended = _deliver(peer, total)
    return total / (ended - started), peer.cpu_seconds() - before


def _deliver(peer: Peer, total: int) -> float:
    target = peer.sink.count() + total
    peer.submit(total)
    return wait_for(
        peer.sink.count,
        target,
        stall_seconds=peer.bench.options.stall_seconds,
        alive=peer.check_alive,
    )
