"""Prometheus series of one process."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

# One more series for each counter, which no documented query uses.
disable_created_metrics()  # type: ignore[no-untyped-call]
_ACCOUNT = ("tenant_id", "account_id")


class MailMetrics:
    """The documented series, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.sent = self._counter("gmp_sent_total", "Messages that a server has accepted.")
        self.errors = self._counter("gmp_errors_total", "Messages that were given up.")
        self.deferred = self._counter("gmp_deferred_total", "Attempts that will be repeated.")
        self.rate_limited = self._counter(
            "gmp_rate_limited_total", "Messages that waited for or failed at a rate limit."
        )
        self.pending = Gauge(
            "gmp_pending_messages", "Messages that are not finished.", registry=self.registry
        )

    def _counter(self, name: str, description: str) -> Counter:
        return Counter(name, description, _ACCOUNT, registry=self.registry)

    def announce(self, accounts: Iterable[tuple[str, str]]) -> None:
        """Make the series of (tenant, account) pairs exist before something happens to them."""
        for labels in accounts:
            for counter in (self.sent, self.errors, self.deferred, self.rate_limited):
                counter.labels(*labels)

    def text(self) -> bytes:
        """The Prometheus exposition text."""
        return generate_latest(self.registry)
