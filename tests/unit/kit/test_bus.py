"""The bus delivers facts to the subscribers of their class."""

from __future__ import annotations

import pytest

from mail_proxy.domain.facts import (
    ClockSetBack,
    DirectoryChanged,
    EventsAdded,
    MessagesAdded,
    MessagesDue,
    MessagesReleased,
    RunNow,
)
from mail_proxy.kit.bus import Bus, Fact, Reach


def test_a_fact_reaches_every_subscriber_of_its_class_in_order() -> None:
    bus, seen = Bus(), []
    bus.subscribe(RunNow, lambda fact: seen.append(("first", fact.tenant_id)))
    bus.subscribe(RunNow, lambda fact: seen.append(("second", fact.tenant_id)))
    bus.publish(RunNow("acme"))
    assert seen == [("first", "acme"), ("second", "acme")]


def test_a_fact_of_another_class_reaches_no_subscriber() -> None:
    bus, seen = Bus(), []
    bus.subscribe(RunNow, seen.append)
    bus.publish(MessagesDue())
    assert seen == []


class Recorder:
    """A transport that keeps the lines it is given."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.lines: list[str] = []

    def send(self, line: str) -> None:
        self.lines.append(line)


def test_a_transport_gets_the_facts_in_whose_reach_its_processes_are() -> None:
    bus, hosts, parent = Bus(), Recorder(Reach.HOSTS), Recorder(Reach.PARENT)
    bus.connect(hosts)
    bus.connect(parent)
    bus.publish(RunNow("acme"))
    bus.publish(EventsAdded())
    assert [Fact.load(line) for line in hosts.lines] == [RunNow("acme")]
    assert [Fact.load(line) for line in parent.lines] == [EventsAdded()]


def test_a_fact_is_not_sent_back_to_where_it_came_from_but_everywhere_else() -> None:
    bus, seen, hosts, workers = Bus(), [], Recorder(Reach.HOSTS), Recorder(Reach.WORKERS)
    bus.connect(hosts)
    bus.connect(workers)
    bus.subscribe(DirectoryChanged, seen.append)
    bus.publish(DirectoryChanged(), source=hosts)
    assert (seen, hosts.lines) == ([DirectoryChanged()], [])
    assert [Fact.load(line) for line in workers.lines] == [DirectoryChanged()]


def test_other_processes_learn_of_new_messages_without_the_list_of_accounts() -> None:
    bus, hosts = Bus(), Recorder(Reach.HOSTS)
    bus.connect(hosts)
    bus.publish(MessagesAdded(frozenset({"t"}), frozenset({"pk"})))
    assert [Fact.load(line) for line in hosts.lines] == [MessagesDue()]


@pytest.mark.parametrize("fact", [RunNow("ä b\n"), RunNow(), ClockSetBack(), MessagesReleased()])
def test_a_fact_comes_back_as_it_was_from_one_line(fact: Fact) -> None:
    assert "\n" not in fact.dump()
    assert Fact.load(fact.dump()) == fact


@pytest.mark.parametrize("line", ["", "Unknown {}", "RunNow", "RunNow [", 'RunNow {"other":1}'])
def test_a_line_of_another_version_is_no_fact(line: str) -> None:
    assert Fact.load(line) is None
