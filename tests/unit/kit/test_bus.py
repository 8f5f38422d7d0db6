"""The bus delivers facts to the subscribers of their class."""

from __future__ import annotations

from mail_proxy.domain.facts import MessagesDue, RunNow
from mail_proxy.kit.bus import Bus


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
