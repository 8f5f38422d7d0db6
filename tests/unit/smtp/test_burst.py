"""Many mails on one session: what goes out together, and what each event means for whom."""

from __future__ import annotations

import pytest
from tests.unit.smtp.memory_server import FROM, Line, Mails, MemoryServer, envelope, name_of

from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Sent, Uncertain
from mail_proxy.smtp.burst import BurstRun, Timeouts
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.transcript import render
from mail_proxy.testing.smtp_server import Act, Script

BDAT = Capabilities(pipelining=True, chunking=True)
ONE_BY_ONE = Capabilities()
WAYS = [Capabilities(pipelining=True), BDAT, ONE_BY_ONE]


def mails(*names: str) -> Mails:
    return Mails([envelope(name) for name in names])


def scripted(wanted: str, script: Script, nth: int = 1) -> MemoryServer:
    """A server that follows ``script`` at the ``nth`` time that it comes to a stage."""
    seen = 0

    def answer(stage: str, _: str) -> Script | None:
        nonlocal seen
        seen += stage == wanted
        return script if stage == wanted and seen == nth else None

    return MemoryServer(answer)


@pytest.mark.parametrize("capabilities", WAYS)
def test_every_mail_of_a_burst_is_sent_once(capabilities: Capabilities) -> None:
    line = Line(capabilities=capabilities)
    burst = mails("a", "b", "c")
    run = line.run(burst)
    assert [type(outcome) for outcome in burst.outcomes.values()] == [Sent] * 3
    assert [name for name, _ in line.server.accepted] == ["a", "b", "c"]
    assert not run.returned
    assert line.session.broken is None


@pytest.mark.parametrize("capabilities", WAYS)
def test_a_session_that_ends_right_after_the_log_in_defers_the_first_mail(
    capabilities: Capabilities,
) -> None:
    line = Line(capabilities=capabilities)
    line.session.lose("the server closed the connection")
    burst = mails("a", "b")
    run = line.run(burst)
    assert run.is_done
    assert burst.outcomes == {"a": Deferred("the server closed the connection (at MAIL)")}


def test_a_message_and_the_next_envelope_go_out_together() -> None:
    line = Line()
    line.run(mails("a", "b"))
    first, second, third = line.server.packets
    assert first.startswith(b"MAIL") and first.endswith(b"DATA\r\n")
    assert second.startswith(b"Subject: a") and second.endswith(b"DATA\r\n")
    assert third.startswith(b"Subject: b") and third.endswith(b"\r\n.\r\n")


def test_a_server_that_failed_with_it_gets_them_one_after_the_other() -> None:
    line = Line(capabilities=Capabilities(pipelining=True, burst=False))
    line.run(mails("a", "b"))
    assert len(line.server.packets) == 4


@pytest.mark.parametrize("script", [Act.DROP, Act.SILENCE, b"what?\r\n", b"354 go\r\n"])
def test_only_the_mail_whose_end_is_out_is_uncertain(script: Script) -> None:
    line = Line(scripted("end of data", script))
    burst = mails("a", "b", "c")
    run = line.run(burst)
    assert list(burst.outcomes) == ["a"]
    assert isinstance(burst.outcomes["a"], Uncertain)
    assert [name_of(mail) for mail in run.returned] == ["b"]
    assert [name_of(mail) for mail in burst.waiting] == ["c"]
    assert run.broke_over == "burst"


class Forgetful(MemoryServer):
    """A server that drops what was sent behind a message."""

    def _end_of_data(self, body: bytes) -> None:
        super()._end_of_data(body)
        self._input = b""


def test_a_server_that_drops_the_envelope_behind_a_message_is_remembered() -> None:
    line, burst = Line(Forgetful()), mails("a", "b", "c")
    run = line.run(burst)
    assert list(burst.outcomes) == ["a"]
    assert [name_of(each) for each in run.returned] == ["b"]
    assert run.broke_over == "burst"


def test_421_to_a_message_leaves_the_next_one_untouched() -> None:
    line = Line(scripted("end of data", ("421 4.3.2 bye", Act.DROP)))
    burst = mails("a", "b", "c")
    run = line.run(burst)
    assert isinstance(burst.outcomes["a"], Deferred)
    assert [name_of(mail) for mail in run.returned] == ["b"]


def test_the_next_envelope_that_is_refused_in_its_place_counts() -> None:
    line = Line(scripted("RCPT", "550 5.1.1 gone", nth=2))
    burst = mails("a", "b", "c")
    run = line.run(burst)
    assert [type(outcome) for outcome in burst.outcomes.values()] == [Sent, Failed]
    assert not run.returned
    assert line.session.broken is None
    assert line.server.commands[-1] == "RSET"


def test_a_refused_message_does_not_spoil_the_envelope_behind_it() -> None:
    line = Line(scripted("end of data", "554 5.7.1 spam"))
    burst = mails("a", "b", "c")
    line.run(burst)
    assert [type(outcome) for outcome in burst.outcomes.values()] == [Failed, Sent]
    assert len(burst.waiting) == 1, "something unusual ends a burst"


@pytest.mark.parametrize("capabilities", WAYS)
@pytest.mark.parametrize("reply", ["421 bye", "451 4.4.2 Timeout waiting for data", "503 reset"])
def test_what_mail_says_about_the_session_costs_no_attempt(
    capabilities: Capabilities, reply: str
) -> None:
    first, second = mails("a"), mails("b")
    line = Line(scripted("MAIL", reply, nth=2), capabilities=capabilities)
    line.run(first)
    run = line.run(second)
    if reply.startswith("503"):
        assert isinstance(second.outcomes["b"], Sent), "RSET has helped"
        assert "RSET" in line.server.commands
    else:
        assert second.outcomes == {}
        assert [name_of(mail) for mail in run.returned] == ["b"]
        assert line.session.broken is not None
    again = Line()
    again.run(second, run.returned)
    assert isinstance(second.outcomes["b"], Sent)


@pytest.mark.parametrize("reply", ["421 bye", "451 later", "503 no"])
def test_on_a_new_session_the_same_words_are_an_answer(reply: str) -> None:
    burst = mails("a")
    assert not Line(scripted("MAIL", reply)).run(burst).returned
    assert isinstance(burst.outcomes["a"], AccountTrouble | Deferred | Failed)


def test_503_that_rset_does_not_end_is_the_sessions() -> None:
    answers = iter([None, "503 reset", "503 reset"])
    server = MemoryServer(lambda stage, _: next(answers) if stage == "MAIL" else None)
    line, burst = Line(server), mails("a", "b")
    run = line.run(burst)
    assert [name_of(mail) for mail in run.returned] == ["b"]
    assert line.session.broken is not None


def limited(most: int, reply: str) -> MemoryServer:
    """A server that takes so many recipients at once."""
    count = 0

    def answer(stage: str, _: str) -> Script | None:
        nonlocal count
        if stage == "MAIL":
            count = 0
        count += stage == "RCPT"
        return reply if stage == "RCPT" and count > most else None

    return MemoryServer(answer)


@pytest.mark.parametrize("capabilities", WAYS)
@pytest.mark.parametrize("reply", ["452 4.5.3 Too many recipients", "552 too many", "452 enough"])
@pytest.mark.parametrize(("most", "recipients"), [(1, 10), (100, 750)])
def test_more_recipients_than_a_server_takes_at_once_follow(
    capabilities: Capabilities, reply: str, most: int, recipients: int
) -> None:
    to = [f"r{number}@example.org" for number in range(recipients)]
    line, burst = Line(limited(most, reply), capabilities=capabilities), mails()
    burst.waiting.append(envelope("a", *to))
    burst.waiting.append(envelope("b"))
    line.run(burst)
    outcome = burst.outcomes["a"]
    assert isinstance(outcome, Sent)
    assert [result.address for result in outcome.recipients] == to
    assert {str(result.status) for result in outcome.recipients} == {"sent"}
    served = [address for name, group in line.server.accepted for address in group if name == "a"]
    assert sorted(served) == sorted(to)
    assert isinstance(burst.outcomes["b"], Sent)


def test_a_limit_that_the_server_declares_is_kept_beforehand() -> None:
    line = Line(capabilities=Capabilities(pipelining=True, most_recipients=2))
    burst = mails()
    burst.waiting.append(envelope("a", *[f"r{number}@example.org" for number in range(5)]))
    line.run(burst)
    assert [len(group) for _, group in line.server.accepted] == [2, 2, 1]
    assert isinstance(burst.outcomes["a"], Sent)


def test_a_transaction_that_serves_nobody_ends_the_mail() -> None:
    """The first hundred have it; the rest is for later."""
    transactions = 0

    def answer(stage: str, _: str) -> Script | None:
        nonlocal transactions
        transactions += stage == "MAIL"
        return "452 4.5.3 enough for today" if stage == "RCPT" and transactions > 1 else None

    line = Line(MemoryServer(answer), capabilities=Capabilities(pipelining=True, most_recipients=2))
    burst = mails()
    burst.waiting.append(envelope("a", *[f"r{number}@example.org" for number in range(6)]))
    line.run(burst)
    outcome = burst.outcomes["a"]
    assert isinstance(outcome, Sent)
    statuses = [str(result.status) for result in outcome.recipients]
    assert statuses == ["sent"] * 2 + ["deferred"] * 4
    assert line.server.commands.count("MAIL") == 2


def test_a_session_that_ends_between_two_parts_of_a_mail_loses_nobody() -> None:
    line = Line(
        scripted("MAIL", ("421 enough", Act.DROP), nth=2),
        capabilities=Capabilities(pipelining=True, most_recipients=2),
    )
    burst = mails()
    burst.waiting.append(envelope("a", *[f"r{number}@example.org" for number in range(4)]))
    run = line.run(burst)
    assert burst.outcomes == {}
    again = Line()
    again.run(burst, run.returned)
    outcome = burst.outcomes["a"]
    assert isinstance(outcome, Sent)
    assert [str(result.status) for result in outcome.recipients] == ["sent"] * 4
    assert [group for _, group in again.server.accepted] == [("r2@example.org", "r3@example.org")]


def test_refused_recipients_keep_their_answers() -> None:
    def answer(stage: str, text: str) -> Script | None:
        return "550 5.1.1 gone" if stage == "RCPT" and text.startswith("gone") else None

    line = Line(MemoryServer(answer), capabilities=Capabilities(pipelining=True, most_recipients=1))
    burst = mails()
    burst.waiting.append(envelope("a", "gone1@x.example", "ann@x.example", "gone2@x.example"))
    line.run(burst)
    outcome = burst.outcomes["a"]
    assert isinstance(outcome, Sent)
    assert [str(result.status) for result in outcome.recipients] == ["failed", "sent", "failed"]


def test_a_reply_that_comes_too_early_is_not_the_answer_to_the_message() -> None:
    line = Line(scripted("DATA", b"354 go\r\n250 taken already\r\n"))
    burst = mails("a")
    line.run(burst)
    assert isinstance(burst.outcomes["a"], Deferred)
    assert line.server.accepted == []


def test_a_burst_that_is_broken_off_reports_what_may_have_arrived() -> None:
    line, burst = Line(), mails("a", "b")
    run = BurstRun(
        line.session, burst, Timeouts(), line.session.capabilities, may_go_on=lambda: True
    )
    run.start()
    line.session.receive(line.server.exchange(line.session.take_output()))
    line.session.take_output()
    run.break_off("broken off")
    assert list(burst.outcomes) == ["a"]
    assert isinstance(burst.outcomes["a"], Uncertain)


def test_the_transcript_has_both_sides_and_no_content() -> None:
    burst = mails()
    mail = envelope("a")
    burst.waiting.append(mail)
    Line(scripted("end of data", "554 5.7.1 spam")).run(burst)
    assert render(mail.dialogue).split("\n") == [
        f"C: MAIL FROM:<{FROM}>",
        "C: RCPT TO:<ann@example.org>",
        "C: DATA",
        "S: 250 2.1.0 ok",
        "S: 250 2.1.5 ok",
        "S: 354 go ahead",
        "C: [21 octets of the message]",
        "S: 554 5.7.1 spam",
    ]
    assert len(render(mail.dialogue * 1000).encode()) <= 16384
