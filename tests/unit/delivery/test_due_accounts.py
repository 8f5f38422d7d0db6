"""Which accounts a round looks at"""

from __future__ import annotations

import pytest

from mail_proxy.delivery.due_accounts import ALL_ACCOUNTS, DueAccounts, Scan


class Watch:
    """A clock that stands still between the steps of a test."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def due(watch: Watch) -> DueAccounts:
    """All was looked at just now, at a cost of 0.1 s, and nothing is due for 10 s."""
    due = DueAccounts(watch)
    due.end(due.begin(), [], 0.1)
    due.idle(10)
    return due


def test_the_first_look_goes_everywhere(watch: Watch) -> None:
    assert DueAccounts(watch).begin() == ALL_ACCOUNTS


def test_when_idle_only_accounts_that_got_messages_are_scanned_and_once(
    due: DueAccounts,
) -> None:
    due.mark(["a"])
    due.mark(["b"])
    assert due.begin() == Scan(frozenset("ab"))
    assert due.begin() == Scan(frozenset())


def test_after_the_rest_all_are_looked_at(due: DueAccounts, watch: Watch) -> None:
    watch.now += 9.9
    assert due.begin() == Scan(frozenset())
    watch.now += 0.1
    assert due.begin() == ALL_ACCOUNTS


def test_those_with_more_stay_and_all_are_looked_at_as_often_as_it_costs_little(
    due: DueAccounts, watch: Watch
) -> None:
    due.mark(["a", "b"])
    due.end(due.begin(), ["b"], 0.0)
    watch.now += 1.9
    assert due.begin() == Scan(frozenset("b"))
    watch.now += 0.1
    assert due.begin() == ALL_ACCOUNTS


def test_what_nobody_can_name_is_looked_for_everywhere_at_once(due: DueAccounts) -> None:
    due.mark_all()
    assert due.begin() == ALL_ACCOUNTS
