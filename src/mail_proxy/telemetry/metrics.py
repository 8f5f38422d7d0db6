"""Prometheus series of one process, and of those that deliver for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

# One more series for each counter, which no documented query uses.
disable_created_metrics()  # type: ignore[no-untyped-call]
_MOST_ZEROS = 1000
_ACCOUNT = ("tenant_id", "account_id")


class MailMetrics:
    """The documented series, in a registry of their own."""

    _folder: TemporaryDirectory[str] | None = None

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sent = self._counter("gmp_sent_total", "Messages that a server has accepted.")
        self.errors = self._counter("gmp_errors_total", "Messages that were given up.")
        self.deferred = self._counter("gmp_deferred_total", "Attempts that will be repeated.")
        self.rate_limited = self._counter(
            "gmp_rate_limited_total", "Times that a queue was found at its rate limit."
        )
        self.pending = Gauge(
            "gmp_pending_messages", "Messages that are not finished.", registry=self.registry
        )
        self.account_up = Gauge(
            "gmp_account_up",
            "1: the account can be used; 0: it is paused because of trouble.",
            _ACCOUNT,
            registry=self.registry,
        )

        self._announced: dict[tuple[str, str], bool] = {}

    def _counter(self, name: str, description: str) -> Counter:
        return Counter(name, description, _ACCOUNT, registry=self.registry)

    def announce(self, accounts: Iterable[tuple[str, str, bool]]) -> None:
        """Make the series of (tenant, account, up) exist before something happens to them.

        With more than a thousand accounts the counters come with their first event: tens of
        thousands of zeros would take a scrape seconds.
        """
        now = {(tenant_id, account_id): up for tenant_id, account_id, up in accounts}
        counters = (self.sent, self.errors, self.deferred, self.rate_limited)
        for labels in self._announced.keys() - now.keys():
            self.account_up.remove(*labels)  # removed accounts are neither up nor down
        for labels, up in now.items():
            if self._announced.get(labels) == up:
                continue
            self.account_up.labels(*labels).set(up)
            for counter in counters if len(now) <= _MOST_ZEROS else ():
                counter.labels(*labels)
        self._announced = now

    def text(self) -> bytes:
        """The Prometheus exposition text."""
        if self._folder is None:
            return generate_latest(self.registry)
        return generate_latest(_Sum(self.registry, self.of_workers))

    @cached_property
    def of_workers(self) -> Path:
        """Where other processes keep counters that are added to those of this one.

        They find it in ``PROMETHEUS_MULTIPROC_DIR``; what has ended stays counted.
        """
        self._folder = TemporaryDirectory(prefix="mail-proxy-metrics-")
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove the counters of other processes."""
        if self._folder is not None:
            self._folder.cleanup()


class _Sum(Collector):
    """Our series, with what other processes have counted added."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        self._ours = registry
        self._theirs = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        counted = {
            (sample.name, *sorted(sample.labels.items())): sample
            for family in self._theirs.collect()  # type: ignore[no-untyped-call]
            for sample in family.samples
            if family.type in ("counter", "histogram")
        }
        for family in self._ours.collect():
            samples = []
            for sample in family.samples:
                other = counted.pop((sample.name, *sorted(sample.labels.items())), None)
                more = other.value if other is not None else 0.0
                samples.append(sample._replace(value=sample.value + more))
            family.samples = samples
            yield family
