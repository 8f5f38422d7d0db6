"""UUID version 7"""

from __future__ import annotations

import time
import uuid

import pytest

from mail_proxy.kit import ids
from mail_proxy.kit.ids import uuid7


def test_ids_are_in_the_form_of_rfc_9562_and_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= after


def test_ids_sort_by_creation_however_fast_they_are_made() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_go_on_growing_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = uuid7()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_000_000_000_000_000_000)
    later = [uuid7() for _ in range(3)]
    assert [earlier, *later] == sorted([earlier, *later])


def test_the_random_part_differs_between_ids_of_one_moment() -> None:
    tails = {uuid7()[-12:] for _ in range(100)}
    assert len(tails) == 100
