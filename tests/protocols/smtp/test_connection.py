"""How a session opens, or why it does not."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from tests.harness.patience import with_growing_patience
from tests.harness.processes import free_port
from tests.protocols.smtp.sessions import (
    ANN,
    FROM,
    HASTINESS,
    PATIENT,
    Logins,
    Messages,
    hasty,
    session,
    trouble,
    verbs,
)

from mail_proxy.domain.account import TlsMode
from mail_proxy.domain.outcome import Sent
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer, Stage


@pytest.mark.parametrize("tls", [TlsMode.AUTO, TlsMode.STARTTLS, TlsMode.SSL])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_sending_over_tls(
    login: Logins,
    message: Messages,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    tls: TlsMode,
    pipelining: bool,
) -> None:
    mail = message("." + "line\n" * 50_000)
    async with ScriptedSmtpServer(
        tls_context=server_tls,
        implicit_tls=tls is TlsMode.SSL,
        users={"shop": "sésame"},
        pipelining=pipelining,
    ) as server:
        user = login(server.port, tls=tls, user="shop", password="sésame")
        async with session(user, tls=client_tls) as connection:
            for _ in range(2):
                assert isinstance(await connection.transact(FROM, [ANN], mail), Sent)
    assert [m.data for m in server.accepted] == [mail.data, mail.data]
    assert ("STARTTLS" in verbs(server)) == (tls is not TlsMode.SSL)


async def test_a_certificate_that_nobody_vouches_for(
    login: Logins, server_tls: ssl.SSLContext
) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls) as server:
        refused = await trouble(login(server.port))
        assert refused.stage == "tls"
        assert "certificate" in refused.reason
        async with session(login(server.port, verify_cert=False)):
            pass
    async with ScriptedSmtpServer(tls_context=server_tls, implicit_tls=True) as server:
        assert (await trouble(login(server.port, tls=TlsMode.SSL))).stage == "tls"


async def test_a_certificate_for_another_host(
    login: Logins, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with ScriptedSmtpServer(tls_context=server_tls) as server:
        assert (await trouble(login(server.port, host="localhost"), client_tls)).stage == "tls"


async def test_starttls_or_nothing(login: Logins, server: ScriptedSmtpServer) -> None:
    refused = await trouble(login(server.port, tls=TlsMode.STARTTLS))
    assert refused.stage == "tls"
    assert "STARTTLS" in refused.reason


async def test_no_tls_where_it_is_switched_off(login: Logins, server_tls: ssl.SSLContext) -> None:
    async with (
        ScriptedSmtpServer(tls_context=server_tls) as server,
        session(login(server.port, tls=TlsMode.NONE)),
    ):
        pass
    assert verbs(server) == ["EHLO", "QUIT"]


@pytest.mark.parametrize(
    ("stage", "script", "expected", "code"),
    [
        ("connect", "421 4.7.0 too many connections", "greeting", 421),
        ("connect", "554 5.7.1 you again", "greeting", 554),
        ("connect", Act.DROP, "greeting", None),
        ("connect", Act.SILENCE, "greeting", None),
        ("connect", "hello", "greeting", None),
        ("EHLO", "550 no", "ehlo", 550),
        ("EHLO", Act.DROP, "ehlo", None),
        ("EHLO", Act.SILENCE, "ehlo", None),
        ("STARTTLS", "454 4.7.0 not now", "tls", 454),
        ("STARTTLS", Act.DROP, "tls", None),
        ("STARTTLS", b"220 go ahead\r\n250 sent in clear text", "tls", None),
        ("STARTTLS", b"220 go ahead\r\n250 sent in clear text\r\n", "tls", None),
        ("AUTH", "454 4.7.0 not now", "auth", 454),
        ("AUTH", "535 5.7.8 wrong", "auth", 535),
        ("AUTH", ("421 4.7.0 bye", Act.DROP), "auth", 421),
        ("AUTH", Act.SILENCE, "auth", None),
    ],
)
async def test_trouble_of_the_account(
    login: Logins,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    stage: Stage,
    script: Any,
    expected: str,
    code: int | None,
) -> None:
    async def attempt(seconds: float) -> None:
        async with ScriptedSmtpServer(tls_context=server_tls, users={"shop": "secret"}) as server:
            server.on(stage, script)
            user = login(server.port, user="shop", password="secret")
            timeouts = hasty(seconds) if script is Act.SILENCE else PATIENT
            met = await trouble(user, client_tls, timeouts)
            assert (met.stage, met.code) == (expected, code), met
            assert met.reason
            await server.wait_until(lambda: server.open_connections == 0)

    await with_growing_patience(attempt, HASTINESS)


async def test_nobody_listens(login: Logins) -> None:
    met = await trouble(login(free_port()))
    assert met.stage == "connect"
    assert "127.0.0.1" in met.reason


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".example"])
async def test_an_unknown_name(login: Logins, host: str) -> None:
    assert (await trouble(login(25, host=host))).stage == "dns"


async def test_a_server_without_ehlo(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("EHLO", "502 5.5.1 unknown command", times=1)
    server.on("EHLO", "250 hello")
    async with session(login(server.port)) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], message()), Sent)
    assert verbs(server)[:2] == ["EHLO", "HELO"]


async def test_the_password_is_in_no_reason(login: Logins) -> None:
    plain = "AHNob3AAaHVudGVyMg=="
    async with ScriptedSmtpServer(users={"shop": "other"}) as server:
        server.on("AUTH", f"500 unknown: AUTH PLAIN {plain} hunter2 aHVudGVyMg==")
        met = await trouble(login(server.port, user="shop", password="hunter2"))
    assert met.reason == "AUTH refused: 500 unknown: AUTH PLAIN *** *** ***"
