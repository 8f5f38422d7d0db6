"""Generates the reference of metrics from ``mail_proxy.telemetry.series``."""

from __future__ import annotations

from mail_proxy.telemetry.series import ALL
from reference_pages.markdown import code, table


def render() -> str:
    rows = [
        (
            code(series.name),
            series.kind,
            series.unit,
            ", ".join(map(code, series.labels)) or "none",
            series.help,
        )
        for series in ALL
    ]
    buckets = [
        (code(series.name), ", ".join(f"{bound:g}" for bound in series.buckets))
        for series in ALL
        if series.buckets
    ]
    return "\n\n".join(
        (
            table(["Series", "Type", "Unit", "Labels", "Meaning"], rows),
            "## Buckets",
            "Upper bounds in seconds, besides `+Inf`. A histogram has the series `_bucket` (with "
            "the label `le`), `_count` and `_sum`.",
            table(["Histogram", "Upper bounds"], buckets),
        )
    )
