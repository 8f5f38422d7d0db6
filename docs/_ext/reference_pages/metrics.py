"""The metrics, from ``mail_proxy.telemetry.metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from mail_proxy.telemetry.metrics import MailMetrics
from reference_pages.markdown import code, table


def render() -> str:
    rows = [
        (code(name), kind, ", ".join(map(code, labels)) or "none", text)
        for name, kind, labels, text in series()
    ]
    return table(["Series", "Kind", "Labels", "Meaning"], rows)


def series() -> Iterator[tuple[str, str, list[str], str]]:
    """Name, kind, labels and help of each series that a scrape shows."""
    metrics = MailMetrics()
    metrics.announce([("tenant", "account", True)])
    for family in metrics.registry.collect():
        samples = [s for s in family.samples if not s.name.endswith("_created")]
        for name in dict.fromkeys(s.name for s in samples):
            labels = next(sorted(s.labels) for s in samples if s.name == name)
            yield name, family.type, labels, family.documentation
