"""Kills, database restarts and a broken network, while mail comes in and goes out."""

from __future__ import annotations

import pytest
from tests.harness.chaos import Storm, chaos
from tests.harness.errors import NotAvailable
from tests.harness.rig import small_rig

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_every_copy_has_its_reason() -> None:
    """`python -m benchmarks --only chaos` does the same with ten times the messages."""
    with small_rig() as rig:
        try:
            toll = chaos(rig, Storm(messages=1000, faults=8, saves_account=True))
        except NotAvailable as missing:
            pytest.skip(str(missing))
    assert toll.faults.total() == 8
    assert (toll.lost, toll.not_sent, toll.unexplained) == (0, 0, [])
