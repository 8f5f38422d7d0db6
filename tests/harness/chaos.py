"""Random faults while mail comes in and goes out: kills, database restarts, cut connections."""

import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.harness import messages
from tests.harness.faulty_path import FaultyPath
from tests.harness.poster import Poster
from tests.harness.postgres import Postgres
from tests.harness.proxy import ProxyProcess
from tests.harness.rig import Rig
from tests.harness.sinks import RecordingSink, wait_for

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
_UNDER_WAY_NS = 1_000_000_000


@dataclass(frozen=True)
class Outage:
    """A time in which an accepted message could not be recorded as sent."""

    fault: str
    begin_ns: int
    end_ns: int

    def explains(self, accepted_ns: int) -> bool:
        return self.begin_ns - _WINDOW_NS <= accepted_ns <= self.end_ns + _UNDER_WAY_NS


@dataclass
class Toll:
    """Losses and copies that the faults have cost. Mails without a cause are in ``unexplained``."""

    lost: int = 0
    not_sent: int = 0
    unexplained: list[str] = field(default_factory=list)
    #: How many copies each kind of fault explains.
    copies: Counter[str] = field(default_factory=Counter)
    #: How many calls of the client ended with each status, or with ``none``.
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    fault_seconds: float = 0.0
    seconds: float = 0.0


class Faults:
    """The faults that ``strike`` can do to one proxy, its database and its network."""

    def __init__(
        self, chance: random.Random, proxy: ProxyProcess, postgres: Postgres, path: FaultyPath
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
        """Return ``count`` faults in random order, each kind at least once if there is room."""
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


@dataclass(frozen=True)
class Storm:
    """How many messages and faults one run has."""

    messages: int
    faults: int
    #: Whether the account is saved after each fault, which ends the pause of one in trouble.
    saves_account: bool = False


def chaos(rig: Rig, storm: Storm) -> Toll:
    """Hand in messages during the faults, and wait until each of them has arrived."""
    chance = random.Random(rig.options.seed)
    postgres = rig.postgres()
    with (
        rig.recording_sink() as sink,
        FaultyPath(sink.port, _DELAY_SECONDS) as path,
        rig.proxy(database_url=postgres.new_database(), settings=_SETTINGS) as proxy,
    ):
        proxy.add_account(path.port)
        faults = Faults(chance, proxy, postgres, path)
        started = time.monotonic()
        race = threading.Semaphore(0)
        with Poster(proxy.port, proxy.token, _calls(rig, storm.messages, race)) as poster:
            for fault in faults.plan(storm.faults):
                _some_mail(rig, sink, poster, storm.messages)
                time.sleep(chance.uniform(*_CALM_SECONDS))
                race.release()
                faults.strike(fault)
                if storm.saves_account:
                    proxy.add_account(path.port)
            race.release(storm.messages)
            _wait(rig, lambda: poster.acknowledged, storm.messages, poster)
        fault_seconds = time.monotonic() - started
        _wait(rig, sink.distinct, storm.messages, poster)
        proxy.wait_until_idle(rig.options.stall_seconds)
        seconds = time.monotonic() - started
        time.sleep(_LATE_COPY_SECONDS)
        toll = _judgement(proxy, sink, faults.outages, storm.messages)
    toll.answers, toll.faults = poster.answers, faults.counts
    toll.fault_seconds, toll.seconds = fault_seconds, seconds
    return toll


def _calls(rig: Rig, total: int, race: threading.Semaphore) -> Iterator[tuple[int, bytes]]:
    """Yield half of the messages at once, then a call with each fault, and the rest at the end."""
    for first in range(0, total, _CALL_MESSAGES):
        count = min(_CALL_MESSAGES, total - first)
        body = messages.call("chaos", first, count, rig.options.size_bytes)
        if first >= total // 2:
            race.acquire()
        yield count, body


def _some_mail(rig: Rig, sink: RecordingSink, poster: Poster, total: int) -> None:
    """Wait until more mail has arrived: a fault that meets no mail shows nothing."""
    target = min(total, sink.distinct() + min(_LEAST_ARRIVALS, total // 20))
    _wait(rig, sink.distinct, target, poster)


def _wait(rig: Rig, progress: Callable[[], int], target: int, poster: Poster) -> None:
    wait_for(
        progress,
        target,
        stall_seconds=rig.options.stall_seconds,
        interval=0.02,
        alive=poster.check,
    )


def _judgement(
    proxy: ProxyProcess, sink: RecordingSink, outages: Sequence[Outage], total: int
) -> Toll:
    toll = Toll(lost=total - sink.distinct())
    for mail_id in sink.copies():
        causes = _causes(proxy, mail_id, sink.every_ns[mail_id], outages)
        toll.copies.update(causes)
        if "" in causes:
            seconds = [(ns - outages[0].begin_ns) / 1e9 for ns in sink.every_ns[mail_id]]
            toll.unexplained.append(f"{mail_id} at {seconds}")
    toll.not_sent = total - len(set(proxy.ids_with_status("sent")))
    return toll


def _causes(
    proxy: ProxyProcess, mail_id: str, accepted_ns: Sequence[int], outages: Sequence[Outage]
) -> list[str]:
    """Return the cause of each copy after the first, an empty text if there is none."""
    uncertain = proxy.uncertain_events(mail_id)
    causes = []
    for earlier in accepted_ns[:-1]:
        faults = {outage.fault for outage in outages if outage.explains(earlier)}
        if uncertain:
            faults, uncertain = {"uncertain"}, uncertain - 1
        # A database that comes back is no reason for a copy: what was not written waits.
        causes.append("kill" if "kill" in faults else "".join(faults))
    return causes
