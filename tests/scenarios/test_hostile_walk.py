"""Attacks while a second tenant works: ``python -m tests.fuzz.walk`` prints the whole table

``test_hostile_clients`` covers the group ``raw``.
"""

from __future__ import annotations

import pytest
from tests.fuzz.walk import GROUPS, show, walking

pytestmark = pytest.mark.slow

#: Attacks that reach the database or a worker; the others end before both.
_ON_POSTGRESQL_WITH_A_WORKER = (
    "12 parallel searches in 5000 messages",
    "200 accounts that fail",
    "200 refused calls",
    "SMTP: a greeting of endless lines",
    "SMTP: an endless reply to the mail",
    "SMTP: no reply to the mail",
    "callback: a body without end",
    "callback: a gzip bomb",
)


@pytest.mark.parametrize("group", ["http", "smtp", "callbacks"])
def test_attacks_hinder_no_other_tenant(group: str) -> None:
    with walking("sqlite", workers=0) as walk:
        for name, attack in GROUPS[group].items():
            watch, after_bytes = walk.measure(attack)
            assert watch.is_within_bounds, show(name, watch, after_bytes)


def test_attacks_hinder_no_other_tenant_on_postgresql_with_a_worker() -> None:
    attacks = {name: attack for group in GROUPS.values() for name, attack in group.items()}
    with walking("postgresql", workers=1) as walk:
        for name in _ON_POSTGRESQL_WITH_A_WORKER:
            watch, after_bytes = walk.measure(attacks[name])
            assert watch.is_within_bounds, show(name, watch, after_bytes)
