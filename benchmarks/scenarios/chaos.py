"""Faults at random while mail comes in and goes out: nothing lost, every copy explained."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import messages
from benchmarks.bench import Bench
from benchmarks.faulty_path import FaultyPath
from benchmarks.figures import Bound, Figure
from benchmarks.poster import Poster
from benchmarks.postgres import Postgres
from benchmarks.proxy import Proxy
from benchmarks.sinks import RecordingSink, wait_for

#: Short, so that the end is near; their sum is long, because it is also how long a message may
#: wait for an account in trouble.
_SETTINGS = {
    "GMP_RETRY_DELAYS": "0.5,1,2,2,2,2,2,2,2,900",
    "GMP_MAX_RETRIES": "40",
    "GMP_SHUTDOWN_TIMEOUT": "10",
}
_DELAY_SECONDS = 0.01  # of the network: long enough for faults to find mail under way
_CALL_MESSAGES = 50
_CALM_SECONDS = (0.05, 0.5)  # between faults, after some mail has arrived
_LEAST_ARRIVALS = 50
_OUTAGE_SECONDS = (0.1, 1.5)
_LATE_COPY_SECONDS = 3.0
#: The documented window: from the server's acceptance to the commit that records it.
_WINDOW_NS = 5_000_000_000
#: What a killed proxy had written may reach the server a moment later.
_UNDER_WAY_NS = 200_000_000


@dataclass(frozen=True)
class Outage:
    """A time in which what had been accepted could not be recorded."""

    fault: str
    begin_ns: int
    end_ns: int

    def explains(self, accepted_ns: int) -> bool:
        return self.begin_ns - _WINDOW_NS <= accepted_ns <= self.end_ns + _UNDER_WAY_NS


class Chaos:
    """The faults, on the parts of one run."""

    def __init__(
        self, chance: random.Random, proxy: Proxy, postgres: Postgres, path: FaultyPath
    ) -> None:
        self.outages: list[Outage] = []
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._proxy = proxy
        self._postgres = postgres
        self._path = path
        self._faults: dict[str, tuple[int, Callable[[], None]]] = {
            "kill": (4, self._kill),
            "database fast": (2, lambda: self._restart(signal.SIGINT)),
            "database immediate": (2, lambda: self._restart(signal.SIGQUIT)),
            "kill without database": (1, self._kill_without_database),
            "cut": (6, self._cut),
            "refuse": (1, self._refuse),
        }

    def plan(self, count: int) -> list[str]:
        """So many faults in random order, each kind at least once where there is room."""
        kinds = list(self._faults)
        weights = [weight for weight, _ in self._faults.values()]
        plan = kinds[:count] + self._chance.choices(kinds, weights, k=max(0, count - len(kinds)))
        self._chance.shuffle(plan)
        return plan

    def strike(self, fault: str) -> None:
        self.counts[fault] += 1
        self._faults[fault][1]()

    @contextmanager
    def _outage(self, fault: str) -> Iterator[None]:
        begin = time.monotonic_ns()
        yield
        self.outages.append(Outage(fault, begin, time.monotonic_ns()))

    def _kill(self) -> None:
        with self._outage("kill"):
            self._proxy.kill()
        self._pause()
        self._proxy.start()

    def _restart(self, how: signal.Signals) -> None:
        with self._outage("database"):
            self._postgres.halt(how)
            self._pause()
            self._postgres.resume()

    def _kill_without_database(self) -> None:
        with self._outage("kill"):
            self._postgres.halt(signal.SIGQUIT)
            self._pause()
            self._proxy.kill()
        self._postgres.resume()
        self._proxy.start()

    def _cut(self) -> None:
        self._path.cut()

    def _refuse(self) -> None:
        self._path.refuse()
        self._path.cut()
        self._pause()
        self._path.accept()

    def _pause(self) -> None:
        time.sleep(self._chance.uniform(*_OUTAGE_SECONDS))


def chaos(bench: Bench) -> list[Figure]:
    total = bench.options.chaos_messages
    chance = random.Random(bench.options.seed)
    postgres = bench.postgres()
    with (
        bench.recording_sink() as sink,
        FaultyPath(sink.port, _DELAY_SECONDS) as path,
        bench.proxy(database_url=postgres.new_database(), settings=_SETTINGS) as proxy,
    ):
        proxy.add_account(path.port)
        trouble = Chaos(chance, proxy, postgres, path)
        started = time.monotonic()
        race = threading.Semaphore(0)
        with Poster(proxy.port, proxy.token, _calls(bench, race)) as poster:
            for fault in trouble.plan(bench.options.faults):
                _some_mail(bench, sink, poster, total)
                time.sleep(chance.uniform(*_CALM_SECONDS))
                race.release()
                trouble.strike(fault)
                if bench.options.saves_account:
                    proxy.add_account(path.port)
            race.release(total)
            _wait(bench, lambda: poster.acknowledged, total, poster)
        struck = time.monotonic() - started
        _wait(bench, sink.distinct, total, poster)
        proxy.wait_until_idle(bench.options.stall_seconds)
        seconds = time.monotonic() - started
        time.sleep(_LATE_COPY_SECONDS)
        return [
            *_judgement(proxy, sink, trouble.outages, total),
            Figure("until the last fault", struck, "s"),
            Figure("until the last message", seconds, "s"),
            Figure("calls without answer", poster.answers["none"]),
            Figure("calls answered 503", poster.answers["503"]),
            Figure("faults", trouble.counts.total(), note=_listed(trouble.counts)),
        ]


def _calls(bench: Bench, race: threading.Semaphore) -> Iterator[tuple[int, bytes]]:
    """Half of the messages at once, then a call with each fault, and the rest at the end."""
    total, size = bench.options.chaos_messages, bench.options.size_bytes
    for first in range(0, total, _CALL_MESSAGES):
        count = min(_CALL_MESSAGES, total - first)
        body = messages.call("chaos", first, count, size)
        if first >= total // 2:
            race.acquire()
        yield count, body


def _some_mail(bench: Bench, sink: RecordingSink, poster: Poster, total: int) -> None:
    """Wait until some more has arrived: a fault that meets no mail shows nothing."""
    target = min(total, sink.distinct() + min(_LEAST_ARRIVALS, total // 20))
    _wait(bench, sink.distinct, target, poster)


def _wait(bench: Bench, progress: Callable[[], int], target: int, poster: Poster) -> None:
    wait_for(
        progress,
        target,
        stall_seconds=bench.options.stall_seconds,
        interval=0.02,
        alive=poster.check,
    )


def _judgement(
    proxy: Proxy, sink: RecordingSink, outages: Sequence[Outage], total: int
) -> list[Figure]:
    copies: Counter[str] = Counter()
    strange: list[str] = []
    for mail_id in sink.copies():
        causes = _causes(proxy, mail_id, sink.every_ns[mail_id], outages)
        copies.update(causes)
        if "" in causes:
            seconds = [(ns - outages[0].begin_ns) / 1e9 for ns in sink.every_ns[mail_id]]
            strange.append(f"{mail_id} at {seconds}")
    sent = proxy.ids_with_status("sent")
    return [
        Figure("lost", total - sink.distinct(), "messages", Bound("=", 0)),
        Figure("not in state sent", total - len(set(sent)), "messages", Bound("=", 0)),
        Figure("copies without explanation", copies[""], "", Bound("=", 0), ", ".join(strange)),
        Figure("copies after an uncertain end", copies["uncertain"]),
        Figure("copies after a kill", copies["kill"]),
        Figure("copies after a database outage", copies["database"]),
    ]


def _causes(
    proxy: Proxy, mail_id: str, accepted_ns: Sequence[int], outages: Sequence[Outage]
) -> list[str]:
    """What explains each copy after the first; an empty text where nothing does."""
    uncertain = proxy.uncertain_events(mail_id)
    causes = []
    for earlier in accepted_ns[:-1]:
        faults = {outage.fault for outage in outages if outage.explains(earlier)}
        if uncertain:
            faults, uncertain = {"uncertain"}, uncertain - 1
        # A database that comes back is no reason for a copy: what was not written waits.
        causes.append("kill" if "kill" in faults else "".join(faults))
    return causes


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {fault}" for fault, count in sorted(counts.items()))
