"""Kills, database restarts and a broken network, while mail comes in and goes out."""

from __future__ import annotations

import pytest
from benchmarks.errors import NotAvailable
from benchmarks.scenarios.chaos import chaos
from tests.scenarios.bench import small_bench


@pytest.mark.timeout(180)
def test_nothing_is_lost_and_every_copy_has_its_reason() -> None:
    """`python -m benchmarks --only chaos` does the same with ten times the messages."""
    with small_bench(chaos_messages=1000, faults=8, size_bytes=500, saves_account=True) as bench:
        try:
            figures = {figure.name: figure for figure in chaos(bench)}
        except NotAvailable as missing:
            pytest.skip(str(missing))
    assert figures["faults"].value == 8
    assert [f.name for f in figures.values() if f.bound] == [
        "lost",
        "not in state sent",
        "copies without explanation",
    ]
    broken = {f.name: (f.value, f.note) for f in figures.values() if f.ok is False}
    assert broken == {}
