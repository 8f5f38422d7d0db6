"""Prometheus metrics of the process with the API and of its worker processes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import orjson
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.values import MultiProcessValue, MutexValue

from mail_proxy.telemetry import series
from mail_proxy.telemetry.exposition import Distribution, Family, NewValue, Number, Value
from mail_proxy.telemetry.series import CACHE_TIERS, SMTP_PHASES, Series, SmtpPhase

_MOST_ZEROS = 1000


class AccountState(NamedTuple):
    """Current state of an account: usable or paused, and its oldest due message."""

    tenant_id: str
    account_id: str
    up: bool = True
    oldest_pending_seconds: float = 0.0


class AccountMetrics(NamedTuple):
    """Counters of one account, kept together so that each is looked up once."""

    sent: Number
    errors: Number
    deferred: Number
    rate_limited: Number
    delivery: Distribution


class MailMetrics:
    """All documented series with their values.

    Counters change on the event loop's thread only. ``announce`` and ``text`` may run on another
    thread.
    """

    _folder: TemporaryDirectory[str] | None = None

    def __init__(self, new_value: NewValue | None = None) -> None:
        """Create all series; ``new_value`` makes their values, in memory by default."""
        self._new_value = new_value or partial(_value, MutexValue)
        self._families: list[Family[Number] | Family[Distribution]] = []
        self.build_info = self._numbers(series.BUILD_INFO)
        self.sent = self._numbers(series.SENT)
        self.errors = self._numbers(series.ERRORS)
        self.deferred = self._numbers(series.DEFERRED)
        self.rate_limited = self._numbers(series.RATE_LIMITED)
        self.delivery = self._distributions(series.DELIVERY)
        self.account_up = self._numbers(series.ACCOUNT_UP)
        self.pending = self._numbers(series.PENDING)
        self.queue = self._numbers(series.QUEUE)
        self.waiting = self._numbers(series.WAITING)
        self.oldest_pending = self._numbers(series.OLDEST_PENDING)
        self.sync_calls = self._numbers(series.SYNC_CALLS)
        self.smtp = self._distributions(series.SMTP)
        self.cache = self._numbers(series.CACHE)
        self.cache_bytes = self._numbers(series.CACHE_BYTES)
        self.http = self._distributions(series.HTTP)
        for phase in SMTP_PHASES:
            self.smtp.of(phase)
        for tier in CACHE_TIERS:
            self.cache_bytes.of(tier)
            for outcome in ("hit", "miss"):
                self.cache.of(tier, outcome)
        self._accounts: dict[tuple[str, str], AccountMetrics] = {}
        self._announced: set[tuple[str, str]] = set()
        self._rendering = threading.Lock()
        self._places: dict[str, tuple[Number | Distribution, str]] = {}

    @classmethod
    def for_a_worker(cls) -> MailMetrics:
        """Return metrics in files, which the process with the API reads.

        ``PROMETHEUS_MULTIPROC_DIR`` names their folder.
        """
        values = MultiProcessValue()  # type: ignore[no-untyped-call]
        return cls(partial(_value, values))

    def of_account(self, tenant_id: str, account_id: str) -> AccountMetrics:
        """Return the counters of one account; create them at the first call."""
        labels = (tenant_id, account_id)
        found = self._accounts.get(labels)
        if found is None:
            found = AccountMetrics(
                sent=self.sent.of(*labels),
                errors=self.errors.of(*labels),
                deferred=self.deferred.of(*labels),
                rate_limited=self.rate_limited.of(*labels),
                delivery=self.delivery.of(*labels),
            )
            self._accounts[labels] = found
        return found

    def _numbers(self, what: Series) -> Family[Number]:
        family = Family(what, Number, self._new_value)
        self._families.append(family)
        return family

    def _distributions(self, what: Series) -> Family[Distribution]:
        family = Family(what, Distribution, self._new_value)
        self._families.append(family)
        return family

    def announce(
        self, accounts: Iterable[AccountState], sync_calls: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Set the state of accounts, and create series with the value 0.

        They are the counters of these accounts and of ``sync_calls`` (tenant, outcome). With more
        than a thousand accounts a counter appears with its first event: hundreds of thousands of
        zeros would make a scrape megabytes long.
        """
        now = {(state.tenant_id, state.account_id): state for state in accounts}
        with self._rendering:
            for labels in self._announced - now.keys():
                # Removed accounts are neither up nor down.
                self.account_up.remove(*labels)
                self.oldest_pending.remove(*labels)
            for labels, state in now.items():
                self.account_up.of(*labels).set(state.up)
                self.oldest_pending.of(*labels).set(state.oldest_pending_seconds)
            self._announced = set(now)
            if len(now) <= _MOST_ZEROS:
                for labels in now:
                    self.of_account(*labels)
                for call in sync_calls:
                    self.sync_calls.of(*call)

    def backlog_unknown(self) -> None:
        """Set the numbers of waiting messages to NaN while the database is unavailable."""
        for family in (self.pending, self.queue, self.waiting, self.oldest_pending):
            for number in family.children():
                number.set(math.nan)

    def text(self) -> bytes:
        """Return all series in the Prometheus exposition format."""
        with self._rendering:
            if self._folder is not None:
                self._read_workers(Path(self._folder.name))
            return "".join(line for family in self._families for line in family.text()).encode()

    @cached_property
    def of_workers(self) -> Path:
        """Folder in which worker processes keep counters, which are added to these.

        ``PROMETHEUS_MULTIPROC_DIR`` names it to them. The counters of ended processes stay.
        """
        self._folder = TemporaryDirectory(prefix="mail-proxy-metrics-")
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove the folder with the counters of worker processes."""
        if self._folder is not None:
            self._folder.cleanup()

    def _read_workers(self, folder: Path) -> None:
        for family in self._families:
            for child in family.children():
                child.forget_others()
        for file in folder.glob("*.db"):
            if file.stat().st_size == 0:
                continue  # a process is creating the file
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
                place = self._places.get(key) or self._place(key)
                place[0].add_others(place[1], value)

    def _place(self, key: str) -> tuple[Number | Distribution, str]:
        """Return the series, and its part, to which a worker's key belongs."""
        name, part, labels, _ = orjson.loads(key)
        family = next(family for family in self._families if family.series.name == name)
        child = family.of(*(labels[label] for label in family.series.labels))
        self._places[key] = (child, part)
        return child, part


class SmtpTimes:
    """Durations of SMTP exchanges, collected until ``flush`` because that is cheaper."""

    def __init__(self, metrics: MailMetrics) -> None:
        self._kept: dict[SmtpPhase, list[float]] = {phase: [] for phase in SMTP_PHASES}
        self._distributions = {phase: metrics.smtp.of(phase) for phase in SMTP_PHASES}

    def add(self, phase: SmtpPhase, seconds: float) -> None:
        """Add the duration of one exchange."""
        self._kept[phase].append(seconds)

    def flush(self) -> None:
        """Add the collected durations to their histograms."""
        for phase, kept in self._kept.items():
            if kept:
                self._distributions[phase].observe_all(kept)
                kept.clear()


def _value(kind: Callable[..., Value], series: Series, part: str, labels: Sequence[str]) -> Value:
    # "counter" is only a part of the file's name. The family knows the kind of the series.
    return kind("counter", series.name, part, series.labels, labels, "")
