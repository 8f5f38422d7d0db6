"""One message from the pool to the server, and what comes back."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest
from tests.harness.patience import with_growing_patience

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Outcome, Sent, Uncertain
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.smtp_server import Act, Script, ScriptedSmtpServer

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]
ANN = "ann@example.org"


async def send(sender: SmtpSender, login: SmtpLogin, message: ComposedMail) -> Outcome:
    return await sender.send(login, "shop@example.com", [ANN], message)


async def test_many_messages_over_few_sessions(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    bodies = [f"number {i}" for i in range(50)]
    outcomes = await asyncio.gather(
        *[send(sender, login(server.port), message(body)) for body in bodies]
    )
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    arrived = {mail.data.split(b"\r\n\r\n")[1].strip().decode() for mail in server.accepted}
    assert arrived == set(bodies)
    assert server.connections == 2


@pytest.mark.parametrize(
    "script", [Act.DROP, ("421 4.4.2 idle too long", Act.DROP)], ids=["closed", "421"]
)
async def test_a_stale_session_is_replaced_unnoticed(
    sender: SmtpSender,
    server: ScriptedSmtpServer,
    login: Logins,
    message: Messages,
    script: Script,
) -> None:
    assert isinstance(await send(sender, login(server.port), message("first")), Sent)
    server.on("MAIL", script, times=1)
    assert isinstance(await send(sender, login(server.port), message("second")), Sent)
    assert [mail.session for mail in server.accepted] == [1, 2]


async def test_every_stale_session_is_replaced_at_once(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    """Also those whose end the event loop has not reported yet."""
    await asyncio.gather(*[send(sender, login(server.port), message()) for _ in range(2)])
    await server.drop_connections()
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert len(server.accepted) == 3


async def test_stale_and_then_no_way_back_is_the_accounts_trouble(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    await send(sender, login(server.port), message())
    server.on("MAIL", Act.DROP)
    server.on("connect", "421 4.3.2 restarting")
    outcome = await send(sender, login(server.port), message())
    assert isinstance(outcome, AccountTrouble)
    assert (outcome.stage, outcome.code) == ("greeting", 421)


async def test_a_new_session_that_breaks_is_not_tried_again(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("MAIL", Act.DROP)
    assert isinstance(await send(sender, login(server.port), message()), Deferred)
    assert server.connections == 1


async def test_an_uncertain_message_is_not_sent_again_by_itself(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    await send(sender, login(server.port), message())
    server.on("end of data", Act.DROP)
    assert isinstance(await send(sender, login(server.port), message()), Uncertain)
    assert server.connections == 1


async def test_a_refusal_leaves_the_session_in_use(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on_recipient(ANN, "550 5.1.1 no such user", times=1)
    assert isinstance(await send(sender, login(server.port), message()), Failed)
    assert isinstance(await send(sender, login(server.port), message()), Sent)
    assert server.connections == 1


async def test_cancelled_it_closes_its_session(
    sender: SmtpSender, server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("end of data", Act.SILENCE)
    only = login(server.port, max_connections=1)
    task = asyncio.create_task(send(sender, only, message()))
    await server.wait_until(lambda: (1, "DATA") in server.commands)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.wait_until(lambda: server.open_connections == 0)
    server.forget_script()
    assert isinstance(await send(sender, only, message()), Sent)


async def test_over_tls(
    sender: SmtpSender, server_tls: ssl.SSLContext, login: Logins, message: Messages
) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls, users={"u": "p"}) as server:
        user = login(server.port, user="u", password="p")
        mail = message("line\n" * 40_000)
        assert isinstance(await send(sender, user, mail), Sent)
        assert isinstance(await send(sender, user, message()), Sent)
        server.on("MAIL", Act.DROP, times=1)
        assert isinstance(await send(sender, user, message()), Sent)
        assert server.accepted[0].data == mail.data
        assert [m.session for m in server.accepted] == [1, 1, 2]


async def test_a_probe_tells_every_step(
    sender: SmtpSender, server_tls: ssl.SSLContext, login: Logins
) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls, users={"u": "p"}) as server:
        steps = await sender.probe(login(server.port, user="u", password="p"))
        assert [(step.step, step.ok) for step in steps] == [
            ("connect", True),
            ("tls", True),
            ("login", True),
            ("quit", True),
        ]
        assert [step.detail for step in steps[1:3]] == ["TLSv1.3, STARTTLS", "logged in as u"]
        assert all(step.ms >= 0 for step in steps)
        assert server.commands[-1] == (1, "QUIT")


async def test_a_probe_ends_at_the_step_that_fails(
    sender: SmtpSender, server_tls: ssl.SSLContext, login: Logins
) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls, users={"u": "p"}) as server:
        steps = await sender.probe(login(server.port, user="u", password="wrong"))
        assert [(step.step, step.ok) for step in steps] == [
            ("connect", True),
            ("tls", True),
            ("login", False),
        ]
        assert "535" in steps[-1].detail
        server.on("QUIT", Act.DROP)
        steps = await sender.probe(login(server.port, user="u", password="p"))
        last = steps[-1]
        assert (last.step, last.ok, last.detail) == ("quit", False, "no answer to QUIT")
        steps = await sender.probe(login(server.port, host="localhost"))
        assert [(step.step, step.ok) for step in steps] == [("connect", True), ("tls", False)]
        await server.wait_until(lambda: server.open_connections == 0)
    (step,) = await sender.probe(login(server.port))
    assert (step.step, step.ok) == ("connect", False)


async def test_a_probe_is_bounded_and_tells_how_far_it_came(
    sender: SmtpSender, login: Logins
) -> None:
    async def attempt(seconds: float) -> None:
        async with ScriptedSmtpServer(users={"u": "p"}) as server:
            server.on("AUTH", Act.SILENCE)
            user = login(server.port, user="u", password="p", tls=TlsMode.NONE)
            steps = await sender.probe(user, step_seconds=seconds)
            assert [(step.step, step.ok) for step in steps] == [
                ("connect", True),
                ("tls", True),
                ("login", False),
            ]
            assert steps[-1].detail == f"not done within {seconds:g} seconds"
            await server.wait_until(lambda: server.open_connections == 0)

    await with_growing_patience(attempt)
