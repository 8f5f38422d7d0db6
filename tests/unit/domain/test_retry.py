"""The retry schedule"""

from __future__ import annotations

import pytest

from mail_proxy.domain.retry import RetryStrategy


@pytest.mark.parametrize(
    ("retries", "delay"),
    [
        *((0, 60), (1, 300), (2, 900), (3, 3600), (4, 7200)),
        *((5, 14_400), (6, 28_800), (7, 43_200), (8, None), (99, None)),
    ],
)
def test_the_default_schedule_is_the_documented_one(retries: int, delay: float | None) -> None:
    assert RetryStrategy(random=lambda: 0.0).delay_seconds(retries) == delay


def test_up_to_ten_per_cent_is_added() -> None:
    assert RetryStrategy(random=lambda: 1.0).delay_seconds(0) == pytest.approx(66)
    delays = [RetryStrategy().delay_seconds(0) or 0 for _ in range(200)]
    assert all(60 <= delay <= 66 for delay in delays)
    assert len(set(delays)) > 1


def test_the_last_delay_repeats() -> None:
    strategy = RetryStrategy((1, 2), 4, random=lambda: 0.0)
    assert [strategy.delay_seconds(i) for i in range(5)] == [1, 2, 2, 2, None]


def test_without_retries_the_first_failure_is_the_last() -> None:
    assert RetryStrategy(max_retries=0).delay_seconds(0) is None
