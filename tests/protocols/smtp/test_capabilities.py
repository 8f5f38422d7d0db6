"""What a server says that it can, and messages that need it."""

from __future__ import annotations

import pytest
from tests.protocols.smtp.sessions import (
    ANN,
    FROM,
    Logins,
    Messages,
    session,
    verbs,
)

from mail_proxy.domain.outcome import Failed, Sent
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.testing.smtp_server import ScriptedSmtpServer


async def test_size_is_declared_and_respected(login: Logins, message: Messages) -> None:
    async with ScriptedSmtpServer(size=500) as server, session(login(server.port)) as connection:
        mail = message()
        assert isinstance(await connection.transact(FROM, [ANN], mail), Sent)
        large = message("x" * 80 + "\n" * 400)
        outcome = await connection.transact(FROM, [ANN], large)
    octets = len(large.data)
    assert outcome == Failed(f"message has {octets} octets, the server takes at most 500")
    assert [accepted.parameters for accepted in server.accepted] == [(f"SIZE={len(mail.data)}",)]


async def test_size_zero_is_no_limit(login: Logins, message: Messages) -> None:
    async with ScriptedSmtpServer(size=0) as server, session(login(server.port)) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], message()), Sent)


async def test_smtputf8_where_it_is_needed(login: Logins, message: Messages) -> None:
    jose = "josé@example.org"
    mail = message(to=jose)
    async with ScriptedSmtpServer() as server, session(login(server.port)) as connection:
        assert isinstance(await connection.transact(FROM, [jose], mail), Sent)
        await connection.transact(FROM, [ANN], message())
    assert server.accepted[0].recipients == (jose,)
    assert [m.parameters for m in server.accepted] == [("BODY=8BITMIME", "SMTPUTF8"), ()]
    async with (
        ScriptedSmtpServer(smtputf8=False) as server,
        session(login(server.port)) as connection,
    ):
        outcome = await connection.transact(FROM, [jose], mail)
        assert isinstance(outcome, Failed)
        assert "SMTPUTF8" in outcome.reason


async def test_smtputf8_for_the_envelope_alone(login: Logins, message: Messages) -> None:
    async with ScriptedSmtpServer() as server, session(login(server.port)) as connection:
        assert isinstance(await connection.transact("è@example.com", [ANN], message()), Sent)
    assert server.accepted[0].parameters == ("SMTPUTF8",)


async def test_8bit_needs_8bitmime(login: Logins) -> None:
    mail = ComposedMail("è\r\n".encode(), needs_smtputf8=False, is_8bit=True)
    async with (
        ScriptedSmtpServer(eight_bit=False) as server,
        session(login(server.port)) as connection,
    ):
        outcome = await connection.transact(FROM, [ANN], mail)
    assert isinstance(outcome, Failed)
    assert "8BITMIME" in outcome.reason


@pytest.mark.parametrize(
    "path", ["a@b.c>\r\nRSET", "a@b.c> SIZE=1", "a b@c.d", '"a\r\n"@c.d', '"a">x@c.d', "<a@b.c"]
)
async def test_an_address_cannot_smuggle_commands(
    server: ScriptedSmtpServer, login: Logins, message: Messages, path: str
) -> None:
    async with session(login(server.port)) as connection:
        for outcome in (
            await connection.transact(path, [ANN], message()),
            await connection.transact(FROM, [ANN, path], message()),
        ):
            assert isinstance(outcome, Failed)
        assert isinstance(await connection.transact(FROM, ['"a >b"@c.d'], message()), Sent)
    assert verbs(server) == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]
