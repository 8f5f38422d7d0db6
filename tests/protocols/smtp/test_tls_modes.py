"""Every TLS mode of an account against every kind of server and certificate."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable

import pytest
import trustme

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import AccountTrouble, Outcome, Sent
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]

#: mode, what the server speaks, how the mail went (None: not at all).
MODES = [
    ("auto", "starttls", "encrypted"),
    ("auto", "clear", "clear"),
    ("auto", "implicit", None),  # not port 465: the mode ssl has to be said
    ("starttls", "starttls", "encrypted"),
    ("starttls", "clear", None),
    ("starttls", "implicit", None),
    ("ssl", "implicit", "encrypted"),
    ("ssl", "starttls", None),
    ("ssl", "clear", None),
    ("none", "clear", "clear"),
    ("none", "starttls", "clear"),
    ("none", "implicit", None),
]


@pytest.mark.parametrize(("mode", "kind", "expected"), MODES)
async def test_a_mode_gets_what_it_asks_for_or_no_connection(
    mode: str,
    kind: str,
    expected: str | None,
    sender: SmtpSender,
    server_tls: ssl.SSLContext,
    login: Logins,
    message: Messages,
) -> None:
    async with speaking(kind, server_tls) as server:
        account = login(server.port, tls=TlsMode(mode))
        if kind == "implicit" and mode != "ssl":
            # Both sides wait for the other's first word: the time limit ends that.
            sender = SmtpSender(SMTPPool(Connector(Timeouts(open=0.3), "client.example")))
        outcome = await send(sender, account, message())
        spoken = [line for _, line in server.commands]
    if expected is None:
        assert isinstance(outcome, AccountTrouble), outcome
        assert server.accepted == []
        assert "MAIL" not in [line.split()[0] for line in spoken]
    else:
        assert isinstance(outcome, Sent), outcome
        upgraded = "STARTTLS" in spoken
        assert upgraded == (expected == "encrypted" and kind == "starttls")


async def test_a_password_is_not_sent_in_the_clear_where_tls_was_wanted(
    sender: SmtpSender, login: Logins, message: Messages
) -> None:
    async with ScriptedSmtpServer(users={"u": "hunter2"}) as server:
        account = login(server.port, tls=TlsMode.STARTTLS, user="u", password="hunter2")
        outcome = await send(sender, account, message())
        assert isinstance(outcome, AccountTrouble)
        assert outcome.stage == "tls"
        assert [line.split()[0] for _, line in server.commands] == ["EHLO"]


@pytest.mark.parametrize(
    ("mode", "kind"), [("auto", "starttls"), ("starttls", "starttls"), ("ssl", "implicit")]
)
@pytest.mark.parametrize(
    ("flaw", "word"),
    [
        ("none", ""),
        ("other name", "doesn't match|mismatch"),
        ("self-signed", "self-signed|self signed"),
        ("unknown authority", "unable to get local issuer"),
        ("expired", "expired"),
        ("not yet valid", "not yet valid"),
    ],
)
async def test_a_flawed_certificate_is_refused_unless_nobody_looks(
    mode: str,
    kind: str,
    flaw: str,
    word: str,
    authority: trustme.CA,
    sender: SmtpSender,
    login: Logins,
    message: Messages,
) -> None:
    async with speaking(kind, flawed(authority, flaw)) as server:
        strict = login(server.port, tls=TlsMode(mode))
        outcome = await send(sender, strict, message())
        if flaw == "none":
            assert isinstance(outcome, Sent), outcome
        else:
            assert isinstance(outcome, AccountTrouble), outcome
            assert outcome.stage == "tls"
            assert any(part in outcome.reason for part in word.split("|")), outcome.reason
            assert "MAIL" not in [line.split()[0] for _, line in server.commands]

        lenient = login(server.port, account_pk="lenient", tls=TlsMode(mode), verify_cert=False)
        assert isinstance(await send(sender, lenient, message()), Sent)


def speaking(kind: str, context: ssl.SSLContext) -> ScriptedSmtpServer:
    if kind == "clear":
        return ScriptedSmtpServer()
    return ScriptedSmtpServer(tls_context=context, implicit_tls=kind == "implicit")


def flawed(authority: trustme.CA, flaw: str) -> ssl.SSLContext:
    """A server's context whose certificate has this flaw for a client of 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    match flaw:
        case "other name":
            authority.issue_cert("mail.example.org").configure_cert(context)
        case "expired":
            authority.issue_cert("127.0.0.1", not_after=now - day).configure_cert(context)
        case "not yet valid":
            authority.issue_cert("127.0.0.1", not_before=now + day).configure_cert(context)
        case "unknown authority":
            trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        case "self-signed":
            alone = trustme.CA()
            with (
                alone.cert_pem.tempfile() as certificate,
                alone.private_key_pem.tempfile() as key,
            ):
                context.load_cert_chain(certificate, key)
        case _:
            authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def send(sender: SmtpSender, login: SmtpLogin, message: ComposedMail) -> Outcome:
    return await sender.send(login, "shop@example.com", ["ann@example.org"], message)
