"""Servers that offer PIPELINING (RFC 2920) and are not up to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
from tests.protocols.smtp.sessions import sender_with

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import Deferred, Failed, Outcome, Sent
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.clock import FakeClock
from mail_proxy.testing.smtp_server import Act, Script, ScriptedSmtpServer

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]
FROM, ANN, BOB = "shop@example.com", "ann@example.org", "bob@example.org"
HOUR = 3600

#: What servers do to a client that sends MAIL, RCPT and DATA without waiting.
FAULTS: dict[str, Script] = {
    "drop": Act.DROP,
    "hang": Act.SILENCE,
    "forget what was sent ahead": Act.FLUSH,
    "garbage": b"What do you want?\r\n",
    "drop after the first reply": ("250 2.1.0 ok", Act.DROP),
    "too many replies": b"250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n",
    "too few replies": b"250 ok\r\n354 go\r\n",
    "RCPT before MAIL": b"250 ok\r\n503 5.5.1 MAIL first\r\n503 5.5.1 RCPT first\r\n",
    "DATA before RCPT": b"250 ok\r\n250 ok\r\n503 5.5.1 RCPT first\r\n",
}
SILENT = ("hang", "forget what was sent ahead")


@pytest.fixture
async def hasty(clock: FakeClock, client_tls: ssl.SSLContext) -> AsyncIterator[SmtpSender]:
    """A sender that waits one second for a reply."""
    timeouts = Timeouts(open=60, command=1, end_of_data=60, send=60)
    async with sender_with(timeouts, clock, client_tls) as sender:
        yield sender


async def send(sender: SmtpSender, login: SmtpLogin, message: ComposedMail) -> Outcome:
    return await sender.send(login, FROM, [ANN], message)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_server_that_breaks_is_asked_one_by_one_for_an_hour(
    fault: str,
    sender: SmtpSender,
    hasty: SmtpSender,
    server: ScriptedSmtpServer,
    clock: FakeClock,
    login: Logins,
    message: Messages,
) -> None:
    used = hasty if fault in SILENT else sender
    server.on("sent ahead", FAULTS[fault])
    assert isinstance(await send(used, login(server.port), message("lost?")), Deferred)
    assert server.accepted == []
    for body in ("lost?", "second", "third"):
        assert isinstance(await send(used, login(server.port), message(body)), Sent)
    clock.advance(HOUR - 1)
    assert isinstance(await send(used, login(server.port), message("fourth")), Sent)
    bodies = [mail.data.split(b"\r\n\r\n")[1].strip().decode() for mail in server.accepted]
    assert bodies == ["lost?", "second", "third", "fourth"]
    clock.advance(1)
    assert isinstance(await send(used, login(server.port), message("tried again")), Deferred)


async def test_sessions_that_are_open_already_stop_too(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    both = [send(sender, login(server.port), message(str(i))) for i in range(2)]
    assert [type(outcome) for outcome in await asyncio.gather(*both)] == [Sent, Sent]
    server.on("sent ahead", ("250 ok", Act.DROP))
    assert isinstance(await send(sender, login(server.port), message("third")), Deferred)
    assert isinstance(await send(sender, login(server.port), message("fourth")), Sent)
    assert [mail.session in (1, 2) for mail in server.accepted] == [True] * 3
    assert server.connections == 2


async def test_what_is_known_is_known_of_the_server(
    hasty: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("sent ahead", Act.DROP)
    assert isinstance(await send(hasty, login(server.port), message()), Deferred)
    other = login(server.port, account_pk="account-2")
    assert isinstance(await send(hasty, other, message()), Sent)
    async with ScriptedSmtpServer() as elsewhere:
        elsewhere.on("sent ahead", "550 that is how the test sees pipelining")
        outcome = await send(hasty, login(elsewhere.port, account_pk="account-3"), message())
        assert isinstance(outcome, Failed)


async def test_a_session_that_grew_stale_says_nothing_about_pipelining(
    hasty: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    assert isinstance(await send(hasty, login(server.port), message()), Sent)
    server.on("MAIL", Act.DROP, times=1)
    assert isinstance(await send(hasty, login(server.port), message()), Sent)
    server.on("sent ahead", "550 that is how the test sees pipelining")
    assert isinstance(await send(hasty, login(server.port), message()), Failed)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_out_of_order_said_to_one_command_at_a_time_is_an_answer(
    stage: str, sender: SmtpSender, login: Logins, message: Messages
) -> None:
    async with ScriptedSmtpServer(pipelining=False) as server:
        server.on(stage, "503 5.5.1 log in first")  # type: ignore[arg-type]
        outcome = await send(sender, login(server.port), message())
    assert isinstance(outcome, Failed)
    assert outcome.code == 503


async def test_replies_that_follow_a_refusal_are_awaited_in_vain(
    hasty: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("sent ahead", "550 5.7.1 no")
    assert isinstance(await send(hasty, login(server.port), message("refused")), Failed)
    assert isinstance(await send(hasty, login(server.port), message("next")), Sent)
    assert [mail.session for mail in server.accepted] == [2]
