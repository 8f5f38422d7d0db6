"""Steps of a delivery run in order until one of them has an outcome."""

from __future__ import annotations

import asyncio
from email import message_from_bytes, policy
from typing import Any

import pytest
from tests.unit.delivery.given import NOW, account, message

from mail_proxy.delivery.pipeline import Outgoing, Step, prepare, preparing_steps
from mail_proxy.domain.mail import Address, Mail
from mail_proxy.domain.outcome import Deferred, Failed, Outcome
from mail_proxy.domain.tenant import ClientAuth, Tenant
from mail_proxy.sql.messages.mail_codec import dump_mail

TENANT = Tenant("t", True, None, ClientAuth(), None, None, frozenset())
ENDS = Deferred("not now")


def outgoing(**fields: Any) -> Outgoing:
    to = (Address("", "you@example.org"), Address("", "two@example.org"))
    given = {"subject": "s", "body": "b", "content_type": "plain", "message_id": "<1@x>"}
    mail = Mail(Address("", "me@example.org"), to, (), (), **{**given, **fields})
    return Outgoing(account(), TENANT, message(content=dump_mail(mail)))


class Trace:
    """Makes steps that note their names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def plain(self, name: str, outcome: Outcome | None = None) -> Step:
        def step(_: Outgoing) -> Outcome | None:
            self.names.append(name)
            return outcome

        return step

    def waiting(self, name: str, outcome: Outcome | None = None) -> Step:
        async def step(_: Outgoing) -> Outcome | None:
            await asyncio.sleep(0)
            self.names.append(name)
            return outcome

        return step


async def test_an_outcome_ends_the_steps_whether_one_waited_or_not() -> None:
    trace = Trace()
    assert prepare([trace.plain("a"), trace.plain("b", ENDS), trace.plain("c")], outgoing()) is ENDS
    assert trace.names == ["a", "b"]

    rest = [trace.waiting("e", ENDS), trace.plain("f")]
    waits = prepare([trace.waiting("c"), trace.plain("d"), *rest], outgoing())
    assert trace.names == ["a", "b"]
    assert waits is not None and not isinstance(waits, Outcome)
    assert await waits is ENDS
    assert trace.names == ["a", "b", "c", "d", "e"]


def test_plain_steps_need_no_event_loop() -> None:
    mail = outgoing()
    assert prepare(preparing_steps({}), mail) is None
    assert mail.composed is not None
    assert mail.recipients == ("you@example.org", "two@example.org")
    mail.message.recipients_left = ["two@example.org"]
    assert mail.recipients == ["two@example.org"]


@pytest.mark.parametrize(
    ("not_before", "date"), [(None, NOW - 5), (NOW - 60, NOW - 5), (NOW + 600, NOW + 600)]
)
def test_every_attempt_has_the_date_of_taking_in_or_of_the_schedule(
    not_before: float | None, date: float
) -> None:
    mail = outgoing(not_before=not_before)
    mail.message.retries, mail.message.due_at = 3, NOW + 7200
    assert prepare(preparing_steps({}), mail) is None
    assert mail.composed is not None
    head = message_from_bytes(mail.composed.data, policy=policy.default)
    assert head["Date"].datetime.timestamp() == date


def test_steps_of_features_run_in_their_slots() -> None:
    seen: list[tuple[str, bool, bool]] = []

    def note(name: str) -> Step:
        def step(mail: Outgoing) -> None:
            seen.append((name, mail.mail is not None, mail.composed is not None))

        return step

    features = {name: [note(name)] for name in ("signing", "large files", "attachments")}
    assert prepare(preparing_steps(features), outgoing()) is None  # type: ignore[arg-type]
    assert seen == [
        ("attachments", True, False),
        ("large files", True, False),
        ("signing", True, True),
    ]


@pytest.mark.parametrize("subject", ["a\r\nb\u00e9", "\ud800"])
def test_a_mail_that_no_header_can_carry_fails_for_good(subject: str) -> None:
    mail = outgoing()
    steps = preparing_steps({})
    assert prepare(steps[:1], mail) is None
    assert mail.mail is not None
    object.__setattr__(mail.mail, "subject", subject)
    outcome = prepare(steps[1:], mail)
    assert isinstance(outcome, Failed)
    assert "Subject" in outcome.reason


async def test_a_large_mail_is_prepared_beside_the_event_loop() -> None:
    waiting = prepare(preparing_steps({}), large := outgoing(subject="x" * 100_000))
    assert waiting is not None
    assert not isinstance(waiting, Outcome)
    assert large.stored is None
    assert await waiting is None
    assert large.composed is not None


async def test_a_header_that_takes_minutes_to_write_is_not_written() -> None:
    waiting = prepare(preparing_steps({}), outgoing(subject="x" * 2_000_001))
    assert waiting is not None
    assert not isinstance(waiting, Outcome)
    ended = await waiting
    assert isinstance(ended, Failed)
    assert "allowed: 2000000" in ended.reason
