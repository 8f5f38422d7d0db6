"""Instants in tables: each declares what becomes of it after the clock was set back."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Double

import mail_proxy
import mail_proxy.sql.schema  # declares the tables
from mail_proxy.domain.tenant import QUOTAS
from mail_proxy.sql.metadata import metadata
from mail_proxy.sql.types import AFTER_CLOCK_SET_BACK, BY_STATEMENT, AtMost, Instant

COLUMNS = [column for table in metadata.sorted_tables for column in table.columns]
INSTANTS = [column for column in COLUMNS if isinstance(column.type, Instant)]
RULE_OF_ITS_OWN = BY_STATEMENT[AFTER_CLOCK_SET_BACK]


@pytest.mark.parametrize("column", INSTANTS, ids=str)
def test_an_instant_declares_its_repair_or_that_it_is_only_a_record(column: Column[float]) -> None:
    rule = column.info.get(AFTER_CLOCK_SET_BACK)
    assert isinstance(rule, AtMost | str)
    if rule == RULE_OF_ITS_OWN:
        repair = Path(mail_proxy.__path__[0], "sql/clock_repair.py").read_text()
        assert column.name in repair


def test_numbers_that_are_no_instants_are_durations_or_quotas() -> None:
    numbers = [c for c in COLUMNS if isinstance(c.type, Double) and c not in INSTANTS]
    assert {column.name for column in numbers} <= {"retention_seconds", "seconds", *QUOTAS}
