"""Kinds of events: one value for each, read by reports, indexes and the API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mail_proxy
from mail_proxy.domain.events import KINDS, kind_of
from mail_proxy.domain.message import EventType
from mail_proxy.sql import conditions

PACKAGE = Path(mail_proxy.__path__[0])


@pytest.mark.parametrize("event_type", list(EventType))
def test_each_type_that_the_queue_writes_is_a_kind(event_type: EventType) -> None:
    kind = kind_of(event_type)
    assert kind is not None
    assert kind.name == event_type


@pytest.mark.parametrize(
    ("event_type", "name"), [("pec_delivery", "pec_"), ("bounce", "bounce"), ("bounced", None)]
)
def test_a_kind_is_found_by_its_name_or_its_prefix(event_type: str, name: str | None) -> None:
    kind = kind_of(event_type)
    assert (kind and kind.name) == name


def test_the_indexes_of_the_migrations_have_the_kinds_that_are_not_reported() -> None:
    text = (PACKAGE / "sql/migrations/versions/0001_queue.py").read_text()
    written = set(re.findall(r'"(reported_at IS NULL AND .*?) AND report_after', text))
    assert written == {conditions.UNREPORTED}


def test_no_statement_names_a_kind_that_is_not_reported() -> None:
    silent = [kind.name for kind in KINDS if not kind.reported]
    for file in (PACKAGE / "sql").glob("**/*.py"):
        if "versions" not in file.parts:
            assert not [n for n in silent if f"<> '{n}'" in file.read_text()], file


def test_the_page_on_reports_names_each_reported_kind() -> None:
    page = (PACKAGE.parents[1] / "docs/reference/reports.md").read_text()
    fields = [f"`{kind.name.rstrip('_')}_ts`" for kind in KINDS if kind.reported]
    assert [field for field in fields if field not in page] == []
