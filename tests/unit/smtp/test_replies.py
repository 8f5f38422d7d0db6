"""What each reply means at each stage."""

from __future__ import annotations

import pytest

from mail_proxy.domain.outcome import (
    AccountTrouble,
    Deferred,
    Failed,
    RecipientResult,
    RecipientStatus,
    Sent,
)
from mail_proxy.smtp.replies import (
    Reply,
    Stage,
    Verdict,
    account_trouble,
    all_refused,
    enhanced_code,
    message_refused,
    one_line,
    recipient_result,
    sent,
    unanswered,
    verdict,
)

BEFORE_MAIL = (Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
ABOUT_THE_MESSAGE = (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA)


@pytest.mark.parametrize(
    ("stage", "code"),
    [
        (Stage.GREETING, 220),
        (Stage.EHLO, 250),
        (Stage.STARTTLS, 220),
        (Stage.AUTH, 235),
        (Stage.MAIL, 250),
        (Stage.RCPT, 250),
        (Stage.RCPT, 251),
        (Stage.RCPT, 252),
        (Stage.DATA, 354),
        (Stage.END_OF_DATA, 250),
    ],
)
def test_what_lets_the_session_go_on(stage: Stage, code: int) -> None:
    assert verdict(stage, Reply(code, "")) is Verdict.ACCEPTED


@pytest.mark.parametrize("stage", BEFORE_MAIL)
@pytest.mark.parametrize("code", [421, 450, 454, 500, 535, 554])
def test_refusals_before_mail_are_the_accounts(stage: Stage, code: int) -> None:
    assert verdict(stage, Reply(code, "")) is Verdict.ACCOUNT


@pytest.mark.parametrize("stage", ABOUT_THE_MESSAGE)
def test_refusals_from_mail_on_are_the_messages(stage: Stage) -> None:
    assert verdict(stage, Reply(451, "")) is Verdict.TEMPORARY
    assert verdict(stage, Reply(550, "")) is Verdict.PERMANENT
    assert verdict(stage, Reply(530, "")) is Verdict.ACCOUNT
    assert verdict(stage, Reply(535, "")) is Verdict.ACCOUNT


@pytest.mark.parametrize(
    ("stage", "code"),
    [(Stage.MAIL, 354), (Stage.RCPT, 334), (Stage.DATA, 250), (Stage.END_OF_DATA, 354)],
)
def test_replies_out_of_step(stage: Stage, code: int) -> None:
    assert verdict(stage, Reply(code, "")) is Verdict.UNEXPECTED


def test_a_server_that_closes_says_so_about_the_account_until_it_knows_recipients() -> None:
    assert verdict(Stage.MAIL, Reply(421, "")) is Verdict.ACCOUNT
    assert verdict(Stage.RCPT, Reply(421, "")) is Verdict.TEMPORARY
    assert verdict(Stage.END_OF_DATA, Reply(421, "")) is Verdict.TEMPORARY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("too many recipients", Verdict.TEMPORARY),
        ("5.5.3 too many recipients", Verdict.TEMPORARY),
        ("5.2.2 mailbox full", Verdict.PERMANENT),
    ],
)
def test_552_to_a_recipient(text: str, expected: Verdict) -> None:
    assert verdict(Stage.RCPT, Reply(552, text)) is expected
    assert verdict(Stage.MAIL, Reply(552, text)) is Verdict.PERMANENT


@pytest.mark.parametrize(
    ("stage", "code", "reported"),
    [
        (Stage.GREETING, 554, "greeting"),
        (Stage.EHLO, 550, "ehlo"),
        (Stage.STARTTLS, 454, "tls"),
        (Stage.AUTH, 454, "auth"),
        (Stage.AUTH, 535, "auth"),
        (Stage.MAIL, 530, "auth"),
        (Stage.MAIL, 421, "greeting"),
    ],
)
def test_the_stage_of_account_trouble(stage: Stage, code: int, reported: str) -> None:
    trouble = account_trouble(stage, Reply(code, "why"))
    assert trouble == AccountTrouble(reported, f"{stage} refused: {code} why", code)


def result(address: str, code: int) -> RecipientResult:
    return recipient_result(address, Reply(code, "text"))


def statuses(outcome: Deferred | Failed | Sent | object) -> list[str]:
    return [r.status.value for r in getattr(outcome, "recipients")]  # noqa: B009 - any outcome


def test_one_recipients_answer() -> None:
    assert result("a@b.c", 250).status is RecipientStatus.SENT
    assert result("a@b.c", 450).status is RecipientStatus.DEFERRED
    assert result("a@b.c", 550) == RecipientResult("a@b.c", RecipientStatus.FAILED, 550, "text")


def test_sent_tells_about_everybody() -> None:
    outcome = sent([result("a@b.c", 250), result("d@e.f", 550)], Reply(250, "queued as 7"))
    assert (outcome.code, outcome.response) == (250, "queued as 7")
    assert statuses(outcome) == ["sent", "failed"]


def test_all_refused_for_good() -> None:
    outcome = all_refused([result("a@b.c", 550), result("d@e.f", 551)])
    assert outcome == Failed("d@e.f: 551 text", 551, outcome.recipients)
    assert statuses(outcome) == ["failed", "failed"]


def test_one_temporary_refusal_makes_it_worth_another_try() -> None:
    outcome = all_refused([result("a@b.c", 450), result("d@e.f", 550)])
    assert outcome == Deferred("a@b.c: 450 text", 450, outcome.recipients)
    assert statuses(outcome) == ["deferred", "failed"]


def test_a_refused_message_is_refused_for_all_but_those_who_were_refused_before() -> None:
    accepted, later, never = result("a@b.c", 250), result("d@e.f", 450), result("g@h.i", 550)
    busy = message_refused(Stage.END_OF_DATA, Reply(451, "busy"), [accepted, later, never])
    assert isinstance(busy, Deferred)
    assert statuses(busy) == ["deferred", "deferred", "failed"]
    assert busy.recipients[0].response == "busy"
    spam = message_refused(Stage.END_OF_DATA, Reply(554, "spam"), [accepted, later, never])
    assert isinstance(spam, Failed)
    assert (spam.code, spam.reason) == (554, "end of data refused: 554 spam")
    assert statuses(spam) == ["failed", "failed", "failed"]


def test_no_answer_leaves_the_accepted_recipients_open() -> None:
    outcome = unanswered("gone", [result("a@b.c", 250), result("d@e.f", 550)])
    assert statuses(outcome) == ["deferred", "failed"]
    assert outcome.recipients[0].code is None


@pytest.mark.parametrize(
    ("text", "code"),
    [("5.1.1 no such user", "5.1.1"), ("2.0.0", "2.0.0"), ("version 5.1.1", None), ("", None)],
)
def test_enhanced_codes(text: str, code: str | None) -> None:
    assert enhanced_code(Reply(250, text)) == code


def test_server_text_becomes_one_short_line() -> None:
    assert one_line("a\r\n\x1b[31mb\u2028c\x00") == "a [31mb c"
    assert len(one_line("x" * 9000)) == 500
