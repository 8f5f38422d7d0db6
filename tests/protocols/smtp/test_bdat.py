"""The whole transaction in one packet, where the server offers CHUNKING (RFC 3030)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
from tests.protocols.smtp.sessions import Mails, sender_with

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import (
    AccountTrouble,
    Deferred,
    Failed,
    Outcome,
    Sent,
    Uncertain,
)
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.envelope import Envelope
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import Act, Script, ScriptedSmtpServer, Stage

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]
FROM, ANN, BOB = "shop@example.com", "ann@example.org", "bob@example.org"


@pytest.fixture
async def server() -> AsyncIterator[ScriptedSmtpServer]:
    async with ScriptedSmtpServer(chunking=True) as scripted:
        yield scripted


@pytest.fixture
async def hasty(clock: FakeClock, client_tls: ssl.SSLContext) -> AsyncIterator[SmtpSender]:
    """A sender that waits one second for a reply."""
    timeouts = Timeouts(open=60, command=1, end_of_data=1, send=60)
    async with sender_with(timeouts, clock, client_tls) as sender:
        yield sender


async def send(sender: SmtpSender, login: SmtpLogin, message: ComposedMail, *to: str) -> Outcome:
    return await sender.send(login, FROM, to or (ANN,), message)


def verbs(server: ScriptedSmtpServer) -> list[str]:
    return [line.split(" ")[0] for _, line in server.commands if not line.startswith("EHLO")]


async def test_octets_arrive_as_they_are(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    mails = [message(".\n..two\nthree.\n."), message("next"), ComposedMail(b".\r\n", False, False)]
    for mail in mails:
        outcome = await send(sender, login(server.port), mail, ANN, BOB)
        assert isinstance(outcome, Sent)
        assert [(r.address, r.status, r.code) for r in outcome.recipients] == [
            (ANN, "sent", 250),
            (BOB, "sent", 250),
        ]
    assert [mail.data for mail in server.accepted] == [mail.data for mail in mails]
    assert verbs(server) == ["MAIL", "RCPT", "RCPT", "BDAT"] * 3
    assert server.connections == 1


async def test_a_missing_last_line_end_is_added(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins
) -> None:
    await send(sender, login(server.port), ComposedMail(b"no end", False, False))
    assert [mail.data for mail in server.accepted] == [b"no end\r\n"]


async def test_a_large_message_waits_for_the_recipients(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    mail = message("line of text\n" * 6000)
    assert isinstance(await send(sender, login(server.port), mail), Sent)
    assert server.accepted[0].data == mail.data
    assert verbs(server) == ["MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize(("idle_seconds", "verb"), [(4.9, "BDAT"), (5.0, "DATA")])
async def test_a_session_that_lay_idle_is_asked_first(
    idle_seconds: float,
    verb: str,
    sender: SmtpSender,
    server: ScriptedSmtpServer,
    clock: FakeClock,
    login: Logins,
    message: Messages,
) -> None:
    """It may have ended without a word, and then the message must not have been sent into it."""
    await send(sender, login(server.port), message())
    clock.advance(idle_seconds)
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert verbs(server)[-1] == verb
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert verbs(server)[-1] == "BDAT"
    assert server.connections == 1


async def test_chunking_without_pipelining_is_not_used(
    sender: SmtpSender, login: Logins, message: Messages
) -> None:
    async with ScriptedSmtpServer(chunking=True, pipelining=False) as server:
        assert isinstance(await send(sender, login(server.port), message()), Sent)
        assert "DATA" in verbs(server)


@pytest.mark.parametrize(
    ("stage", "reply", "kind"),
    [
        ("MAIL", "451 4.3.0 later", Deferred),
        ("MAIL", "550 5.7.1 no", Failed),
        ("MAIL", "530 5.7.0 log in", AccountTrouble),
        ("RCPT", "450 4.2.0 later", Deferred),
        ("RCPT", "550 5.1.1 gone", Failed),
        ("RCPT", "530 5.7.0 log in", AccountTrouble),
        ("end of data", "451 4.3.0 later", Deferred),
        ("end of data", "554 5.7.1 spam", Failed),
    ],
)
async def test_a_refusal_and_the_next_message(
    stage: Stage,
    reply: str,
    kind: type[Outcome],
    sender: SmtpSender,
    server: ScriptedSmtpServer,
    login: Logins,
    message: Messages,
) -> None:
    server.on(stage, reply, times=1)
    outcome = await send(sender, login(server.port), message("refused"))
    assert isinstance(outcome, kind), outcome
    assert not isinstance(outcome, Sent | Uncertain)
    assert outcome.code == int(reply[:3])
    assert isinstance(await send(sender, login(server.port), message("next")), Sent)
    (arrived,) = server.accepted
    assert b"next" in arrived.data
    assert verbs(server).count("BDAT") == 2


@pytest.mark.parametrize(
    "refusal", ["550 5.1.1 gone", "450 4.2.0 later", "421 4.7.0 slow", "530 5.7.0 x"]
)
async def test_each_recipient_has_its_own_answer(
    refusal: str, sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    """The server has the message by then: whatever it says of one, the others get it."""
    server.on_recipient(ANN, refusal)
    outcome = await send(sender, login(server.port), message(), ANN, BOB)
    assert isinstance(outcome, Sent)
    refused = "failed" if refusal.startswith("550") else "deferred"
    assert [(r.address, r.status) for r in outcome.recipients] == [(ANN, refused), (BOB, "sent")]
    assert [mail.recipients for mail in server.accepted] == [(BOB,)]


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "end of data"])
async def test_closing_with_421_leaves_nothing_uncertain(
    stage: Stage, sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on(stage, ("421 4.3.2 bye", Act.DROP))
    outcome = await send(sender, login(server.port), message(), ANN, BOB)
    assert isinstance(outcome, AccountTrouble if stage == "MAIL" else Deferred)
    assert outcome.code == 421
    if isinstance(outcome, Deferred):
        assert [(r.status, r.code) for r in outcome.recipients] == [("deferred", 421)] * 2


async def test_a_reused_session_that_says_421_is_replaced(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    server.on("MAIL", ("421 4.3.2 enough", Act.DROP), times=1)
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert [mail.session for mail in server.accepted] == [1, 2]


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "end of data"])
@pytest.mark.parametrize("script", [Act.DROP, Act.SILENCE, "garbage", "354 what"])
async def test_no_answer_is_uncertain_and_ends_the_use_of_chunking(
    stage: Stage,
    script: Script,
    sender: SmtpSender,
    hasty: SmtpSender,
    server: ScriptedSmtpServer,
    clock: FakeClock,
    login: Logins,
    message: Messages,
) -> None:
    used = hasty if script is Act.SILENCE else sender
    server.on(stage, script)
    outcome = await send(used, login(server.port), message("first"), ANN, BOB)
    assert isinstance(outcome, Uncertain), outcome
    assert [(r.address, r.status) for r in outcome.recipients] == [
        (ANN, "deferred"),
        (BOB, "deferred"),
    ]
    server.forget_script()
    server.commands.clear()
    assert isinstance(await send(used, login(server.port), message("second")), Sent)
    assert verbs(server) == ["MAIL", "RCPT", "DATA"]
    clock.advance(3600)
    assert isinstance(await send(used, login(server.port), message("third")), Sent)
    assert verbs(server)[-3:] == ["MAIL", "RCPT", "BDAT"]


async def test_a_refusal_and_then_silence_is_a_refusal(
    hasty: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("RCPT", "550 5.1.1 gone")
    server.on("BDAT", Act.SILENCE)
    outcome = await send(hasty, login(server.port), message(), ANN, BOB)
    assert isinstance(outcome, Failed)
    server.forget_script()
    server.on("MAIL", ("451 4.3.0 later", Act.DROP))
    assert isinstance(await send(hasty, login(server.port), message()), Deferred)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_a_server_that_does_not_know_bdat_gets_data_next_time(
    code: int, sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("BDAT", f"{code} 5.5.1 what")
    outcome = await send(sender, login(server.port), message())
    assert isinstance(outcome, Deferred)
    assert outcome.code == code
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert verbs(server) == ["MAIL", "RCPT", "BDAT", "MAIL", "RCPT", "DATA"]
    assert len(server.accepted) == 1


async def test_accepted_although_nobody_is_left_to_get_it(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("RCPT", "550 5.1.1 gone", times=1)
    server.on("BDAT", "250 2.0.0 thanks", times=1)
    assert isinstance(await send(sender, login(server.port), message()), Failed)
    server.forget_script()
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert [mail.session for mail in server.accepted] == [2]


async def test_the_message_waits_for_no_reply_so_that_cancelled_it_may_have_been_taken(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("MAIL", Act.SILENCE)
    mails = Mails([Envelope(FROM, [ANN], message())])
    task = asyncio.ensure_future(sender.send_burst(login(server.port), mails))
    await server.wait_until(lambda: "BDAT" in verbs(server))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ((_, outcome),) = mails.outcomes
    assert isinstance(outcome, Uncertain)


async def test_over_tls(
    sender: SmtpSender, server_tls: ssl.SSLContext, login: Logins, message: Messages
) -> None:
    async with ScriptedSmtpServer(chunking=True, tls_context=server_tls) as server:
        mail = message("line\n" * 10_000)
        for _ in range(2):
            assert isinstance(await send(sender, login(server.port), mail), Sent)
        assert [m.data for m in server.accepted] == [mail.data] * 2
        assert "BDAT" in verbs(server)
