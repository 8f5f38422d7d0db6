"""A proxy that is killed after an application took its reports and before it knows that."""

from __future__ import annotations

import pytest
from benchmarks.errors import NotAvailable
from benchmarks.scenarios.report_crash import report_crash
from tests.scenarios.bench import small_bench


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_report_is_told_again_at_once_and_acknowledged_in_the_end(database: str) -> None:
    """`python -m benchmarks --only report-crash` does the same twenty times."""
    with small_bench(database=database, report_kills=3) as bench:
        try:
            figures = {figure.name: figure for figure in report_crash(bench)}
        except NotAvailable as missing:
            pytest.skip(str(missing))
    assert figures["kills"].value == 3
    broken = {f.name: (f.value, f.runs) for f in figures.values() if f.ok is False}
    assert broken == {}
