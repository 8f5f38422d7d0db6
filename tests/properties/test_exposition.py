"""Prometheus reads back every label and every value."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.scrape import Scrape

from mail_proxy.telemetry.metrics import MailMetrics
from mail_proxy.telemetry.series import DELIVERY

#: The parser of prometheus_client splits lines at more characters than Prometheus does.
_LABEL = st.text(
    st.characters(exclude_categories=("Cs",)).filter(lambda c: c.isprintable() or c == "\n")
)


@given(_LABEL, _LABEL, st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_any_account_and_count(tenant: str, account: str, count: float) -> None:
    metrics = MailMetrics()
    metrics.sent.of(tenant, account).inc(count)
    shown = Scrape(metrics.text().decode())
    assert shown("gmp_sent_total", tenant_id=tenant, account_id=account) == count


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_any_observations(seconds: list[float]) -> None:
    metrics = MailMetrics()
    metrics.delivery.of("t", "a").observe_all(seconds)
    shown = Scrape(metrics.text().decode())
    for bound in (*DELIVERY.buckets, math.inf):
        le = "+Inf" if math.isinf(bound) else repr(bound)
        expected = sum(second <= bound for second in seconds)
        assert shown("gmp_delivery_seconds_bucket", le=le) == expected
    assert shown("gmp_delivery_seconds_count") == len(seconds)
    assert math.isclose(shown("gmp_delivery_seconds_sum"), sum(seconds))


def test_help_and_type_are_there_for_each() -> None:
    families = list(text_string_to_metric_families(MailMetrics().text().decode()))
    assert all(family.documentation and family.type != "unknown" for family in families)
