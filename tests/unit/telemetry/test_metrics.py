"""Which series there are, and when."""

from __future__ import annotations

from tests.harness.scrape import Scrape

from mail_proxy.telemetry.metrics import AccountState, MailMetrics, SmtpTimes


def shown(metrics: MailMetrics) -> Scrape:
    return Scrape(metrics.text().decode())


def test_of_many_accounts_only_how_they_are_is_told_before_something_happens() -> None:
    metrics = MailMetrics()
    accounts = [AccountState("t", f"a{n}") for n in range(1001)]
    metrics.announce(accounts, [("t", "ok")])
    assert shown(metrics)("gmp_account_up") == 1001
    assert not shown(metrics).has("gmp_sent_total")
    assert not shown(metrics).has("gmp_sync_calls_total")
    metrics.of_account("t", "a7").sent.inc()
    assert shown(metrics).values_of("gmp_sent_total", "account_id") == {"a7"}
    metrics.announce(accounts[1:])
    assert len(shown(metrics).values_of("gmp_errors_total", "account_id")) == 1000


def test_smtp_times_arrive_once() -> None:
    metrics = MailMetrics()
    times = SmtpTimes(metrics)
    times.add("data", 0.2)
    times.add("data", 400.0)
    for _ in range(2):
        times.flush()
        assert shown(metrics)("gmp_smtp_seconds_count", phase="data") == 2
    assert shown(metrics)("gmp_smtp_seconds_bucket", phase="data", le="300.0") == 1
    assert shown(metrics)("gmp_smtp_seconds_sum", phase="data") == 400.2
