"""One session with a real server: how it opens, and what becomes of the messages it carries."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import Envelope

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Sent, Uncertain
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.connection import Connector, PooledConnection
from mail_proxy.smtp.transaction import Stale, Timeouts
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer, Stage

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]
ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
FROM = "shop@example.com"
PATIENT = Timeouts(open=20, command=20, end_of_data=20, send=20)
HASTY = Timeouts(open=0.2, command=0.05, end_of_data=0.05, send=20)


@asynccontextmanager
async def session(login: SmtpLogin, timeouts: Timeouts = PATIENT, tls: Any = None) -> Any:
    connection = await Connector(timeouts, "client.example", tls).open(login)
    assert isinstance(connection, PooledConnection), connection
    try:
        yield connection
    finally:
        await connection.quit(5)


@pytest.fixture(params=[True, False], ids=["pipelining", "one by one"])
async def either(request: pytest.FixtureRequest) -> Any:
    """A server that offers PIPELINING, and one that does not."""
    async with ScriptedSmtpServer(pipelining=request.param) as server:
        yield server


def verbs(server: ScriptedSmtpServer) -> list[str]:
    return [line.split(" ")[0] for _, line in server.commands]


async def test_a_message_arrives_as_it_was_written(
    either: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    mail = message(".\n..two\nthree.\n.")
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN, BOB], mail)
    assert isinstance(outcome, Sent)
    assert [(r.address, r.status, r.code) for r in outcome.recipients] == [
        (ANN, "sent", 250),
        (BOB, "sent", 250),
    ]
    (arrived,) = either.accepted
    assert (arrived.mail_from, arrived.recipients) == (FROM, (ANN, BOB))
    assert arrived.data == mail.data
    assert verbs(either) == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]


async def test_a_message_without_a_last_line_end(server: ScriptedSmtpServer, login: Logins) -> None:
    async with session(login(server.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], ComposedMail(b"no end", False, False))
    assert isinstance(outcome, Sent)
    assert server.accepted[0].data == b"no end\r\n"


async def test_a_message_that_starts_with_a_dot(server: ScriptedSmtpServer, login: Logins) -> None:
    data = b".\r\n.\r\n\r\n..\r\n"
    async with session(login(server.port)) as connection:
        await connection.transact(FROM, [ANN], ComposedMail(data, False, False))
    assert server.accepted[0].data == data


async def test_a_large_message_in_both_modes(
    either: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    mail = message(".line of text with a dot\n" * 120_000)
    async with session(login(either.port)) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], mail), Sent)
        assert isinstance(await connection.transact(FROM, [ANN], message()), Sent)
    assert either.accepted[0].data == mail.data


async def test_with_aiosmtpd(login: Logins, message: Messages) -> None:
    received: list[Envelope] = []

    class Keep(Sink):
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
            received.append(envelope)
            return "250 kept"

    controller = Controller(Keep(), hostname="127.0.0.1", port=0)
    controller.port = _free_port()
    controller.start()
    try:
        async with session(login(controller.port)) as connection:
            mail = message("caffè\n.\n")
            assert isinstance(await connection.transact(FROM, [ANN, BOB], mail), Sent)
            assert isinstance(await connection.transact("", [EVE], mail), Sent)
    finally:
        controller.stop()
    assert [e.rcpt_tos for e in received] == [[ANN, BOB], [EVE]]
    assert received[0].content == mail.data
    assert received[1].mail_from == "<>"


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("stage", "reply", "expected"),
    [
        ("MAIL", "451 4.3.0 later", Deferred("MAIL refused: 451 4.3.0 later", 451)),
        ("MAIL", "550 5.7.1 no", Failed("MAIL refused: 550 5.7.1 no", 550)),
        ("MAIL", "530 5.7.0 log in", AccountTrouble("auth", "MAIL refused: 530 5.7.0 log in", 530)),
        ("MAIL", "421 bye", AccountTrouble("greeting", "MAIL refused: 421 bye", 421)),
    ],
)
async def test_refused_sender(
    either: ScriptedSmtpServer,
    login: Logins,
    message: Messages,
    stage: Stage,
    reply: str,
    expected: Any,
) -> None:
    either.on(stage, reply)
    async with session(login(either.port)) as connection:
        assert await connection.transact(FROM, [ANN], message()) == expected
    assert either.accepted == []


@pytest.mark.parametrize("stage", ["DATA", "end of data"])
@pytest.mark.parametrize(("code", "kind"), [(451, Deferred), (554, Failed)])
async def test_refused_message_and_the_next_one(
    either: ScriptedSmtpServer,
    login: Logins,
    message: Messages,
    stage: Stage,
    code: int,
    kind: type[Deferred | Failed],
) -> None:
    either.on(stage, f"{code} no", times=1)
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message("first"))
        assert isinstance(outcome, kind)
        assert (outcome.code, outcome.reason) == (code, f"{stage} refused: {code} no")
        assert [r.code for r in outcome.recipients] == [code]
        assert isinstance(await connection.transact(FROM, [BOB], message("second")), Sent)
    assert [(mail.recipients, mail.session) for mail in either.accepted] == [((BOB,), 1)]


async def test_some_recipients_refused(
    either: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    either.on_recipient(ANN, "550-5.1.1 no such\r\n550 5.1.1 user")
    either.on_recipient(BOB, "450 4.2.1 busy")
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN, BOB, EVE], message())
    assert isinstance(outcome, Sent)
    assert [(r.address, r.status, r.code, r.response) for r in outcome.recipients] == [
        (ANN, "failed", 550, "5.1.1 no such 5.1.1 user"),
        (BOB, "deferred", 450, "4.2.1 busy"),
        (EVE, "sent", 250, "2.1.5 ok"),
    ]
    assert either.accepted[0].recipients == (EVE,)


@pytest.mark.parametrize("asks_for_data", [False, True])
async def test_every_recipient_refused(
    either: ScriptedSmtpServer, login: Logins, message: Messages, asks_for_data: bool
) -> None:
    either.on_recipient(ANN, "550 no", times=1)
    either.on_recipient(BOB, "550 no")
    if asks_for_data:
        either.on("DATA", "354 go ahead all the same", times=1)
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN, BOB], message("refused"))
        assert isinstance(outcome, Failed)
        assert [r.status for r in outcome.recipients] == ["failed", "failed"]
        either.forget_script()
        assert isinstance(await connection.transact(FROM, [ANN], message("next")), Sent)
    (arrived,) = either.accepted
    assert b"next" in arrived.data
    assert arrived.session == 1


async def test_the_body_is_not_sent_without_354(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("DATA", "451 not now")
    async with session(login(server.port)) as connection:
        await connection.transact(FROM, [ANN], message("body"))
    assert verbs(server) == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT"]


@pytest.mark.parametrize("stage", ["RCPT", "DATA", "end of data"])
async def test_421_in_mid_session(
    either: ScriptedSmtpServer, login: Logins, message: Messages, stage: Stage
) -> None:
    either.on(stage, ("421 4.3.2 bye", Act.DROP))
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message())
        assert isinstance(outcome, Deferred)
        assert (outcome.code, outcome.reason) == (421, f"{stage} refused: 421 4.3.2 bye")
        assert not connection.is_open


async def test_421_to_one_recipient_is_the_answer_for_the_rest(
    either: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    either.on_recipient(ANN, "550 no")
    either.on_recipient(BOB, ("421 4.3.2 bye", Act.DROP))
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [EVE, ANN, BOB, "last@example.org"], message())
    assert [(r.status, r.code) for r in outcome.recipients] == [
        ("deferred", 421),
        ("failed", 550),
        ("deferred", 421),
        ("deferred", 421),
    ]


async def test_refused_for_the_session_in_mid_envelope(
    either: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    either.on_recipient(BOB, "530 5.7.0 log in first")
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN, BOB], message())
        assert isinstance(outcome, AccountTrouble)
        assert (outcome.stage, outcome.code) == ("auth", 530)
        assert not connection.is_open
    assert either.accepted == []


async def test_refused_reset_closes_the_session(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("end of data", "554 spam")
    server.on("RSET", "500 what")
    async with session(login(server.port)) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], message()), Failed)
        assert not connection.is_open


async def test_refused_in_the_middle_of_a_large_message(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("body", "552 5.3.4 too big")
    async with session(login(server.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message("x" * 20_000_000))
        assert isinstance(outcome, Failed)
        assert outcome.reason == "end of data refused: 552 5.3.4 too big"
        assert not connection.is_open
    server.forget_script()
    server.on("body", "250 2.0.0 thank you")
    async with session(login(server.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message("x" * 20_000_000))
        assert isinstance(outcome, Deferred)
        assert "before the end of data" in outcome.reason


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("script", [Act.DROP, b"nonsense\r\n", b"999 no\r\n", b"2", b"250\n\xff\n"])
async def test_broken_before_the_message_was_sent(
    either: ScriptedSmtpServer, login: Logins, message: Messages, stage: Stage, script: Any
) -> None:
    either.on(stage, script if script is Act.DROP else (script.decode("latin-1"), Act.DROP))
    async with session(login(either.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message())
        assert isinstance(outcome, Deferred)
        assert outcome.code is None
        assert not connection.is_open
    assert either.accepted == []


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_silence_before_the_message_was_sent(
    either: ScriptedSmtpServer, login: Logins, message: Messages, stage: Stage
) -> None:
    either.on(stage, Act.SILENCE)
    async with session(login(either.port), HASTY) as connection:
        outcome = await connection.transact(FROM, [ANN], message())
        assert outcome == Deferred(f"timed out waiting for the server (at {stage})")
        assert not connection.is_open


@pytest.mark.parametrize("script", [Act.DROP, Act.SILENCE, b"what?\r\n", b"354 more\r\n"])
async def test_no_answer_to_the_whole_message_is_uncertain(
    either: ScriptedSmtpServer, login: Logins, message: Messages, script: Any
) -> None:
    either.on_recipient(BOB, "550 no")
    either.on("end of data", script)
    timeouts = HASTY if script is Act.SILENCE else PATIENT
    async with session(login(either.port), timeouts) as connection:
        outcome = await connection.transact(FROM, [ANN, BOB], message())
        assert isinstance(outcome, Uncertain)
        assert outcome.reason.startswith("uncertain: ")
        assert [r.status for r in outcome.recipients] == ["deferred", "failed"]
        assert not connection.is_open


async def test_lost_while_a_large_message_is_being_sent(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("DATA", ("354 go", Act.DROP))
    async with session(login(server.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message("x" * 20_000_000))
        assert isinstance(outcome, Deferred)


async def test_a_server_that_stops_reading_never_gets_the_end(
    login: Logins, message: Messages
) -> None:
    async def read_the_envelope_only(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for reply in (b"220 hi", b"250 hi", b"250 ok", b"250 ok", b"354 go"):
            writer.write(reply + b"\r\n")
            await reader.readline()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()
        writer.transport.abort()

    done = asyncio.Event()
    server = await asyncio.start_server(read_the_envelope_only, "127.0.0.1", 0)
    timeouts = Timeouts(open=20, command=20, end_of_data=20, send=0.3)
    async with server, session(login(server.sockets[0].getsockname()[1]), timeouts) as connection:
        outcome = await connection.transact(FROM, [ANN], message("x" * 30_000_000))
        assert outcome == Deferred("timed out waiting for the server (at DATA)")
        done.set()


async def test_the_transaction_as_a_whole_has_an_end(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("end of data", Act.SILENCE)
    timeouts = Timeouts(open=20, command=20, end_of_data=20, send=0.05)
    async with session(login(server.port), timeouts) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], message()), Uncertain)


@pytest.mark.parametrize(
    "flood",
    [b"250 " + b"x" * 20_000, b"250 " + b"x" * 20_000 + b"\r\n", b"250-more\r\n" * 10_000],
)
async def test_an_endless_reply(
    server: ScriptedSmtpServer, login: Logins, message: Messages, flood: bytes
) -> None:
    server.on("MAIL", (flood, Act.SILENCE))
    async with session(login(server.port)) as connection:
        outcome = await connection.transact(FROM, [ANN], message())
        assert isinstance(outcome, Deferred)
        assert "endless" in outcome.reason
        assert not connection.is_open


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (("421 4.4.2 idle too long", Act.DROP), "421 4.4.2 idle too long"),
        (Act.DROP, "the server closed the connection"),
        (Act.SILENCE, "timed out waiting for the server"),
    ],
)
async def test_a_reused_session_that_has_ended_is_stale(
    either: ScriptedSmtpServer, login: Logins, message: Messages, script: Any, reason: str
) -> None:
    timeouts = HASTY if script is Act.SILENCE else PATIENT
    async with session(login(either.port), timeouts) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], message()), Sent)
        either.on("MAIL", script)
        assert await connection.transact(FROM, [BOB], message()) == Stale(reason)
        assert not connection.is_open
    assert len(either.accepted) == 1


async def test_a_reused_session_that_breaks_after_mail_is_not_stale(
    either: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    async with session(login(either.port)) as connection:
        assert isinstance(await connection.transact(FROM, [ANN], message()), Sent)
        either.on("RCPT", Act.DROP)
        assert isinstance(await connection.transact(FROM, [ANN], message()), Deferred)


async def test_stale_also_when_nothing_was_sent_before(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    async with session(login(server.port)) as connection:
        assert isinstance(await connection.transact(FROM, ["a b"], message()), Failed)
        server.on("MAIL", Act.DROP)
        assert isinstance(await connection.transact(FROM, [ANN], message()), Stale)


async def test_a_session_that_ends_while_idle_is_known_to_be_closed(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    async with session(login(server.port)) as connection:
        await connection.transact(FROM, [ANN], message())
        await server.drop_connections(last_words="421 4.4.2 idle too long")
        await connection.wait_closed()
        outcome = await connection.transact(FROM, [ANN], message())
    assert outcome == Stale("the server said unasked: 421 4.4.2 idle too long")


async def test_cancelled_in_mid_transaction(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    server.on("end of data", Act.SILENCE)
    async with session(login(server.port)) as connection:
        task = asyncio.ensure_future(connection.transact(FROM, [ANN], message()))
        await server.wait_until(lambda: "DATA" in verbs(server))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.is_open


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


async def trouble(login: SmtpLogin, tls: ssl.SSLContext | None = None) -> AccountTrouble:
    result = await Connector(HASTY, "client.example", tls).open(login)
    assert isinstance(result, AccountTrouble)
    return result


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
        ("AUTH", "454 4.7.0 not now", "auth", 454),
        ("AUTH", "535 5.7.8 wrong", "auth", 535),
        ("AUTH", ("421 4.7.0 bye", Act.DROP), "auth", None),
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
    async with ScriptedSmtpServer(tls_context=server_tls, users={"shop": "secret"}) as server:
        server.on(stage, script)
        user = login(server.port, user="shop", password="secret")
        met = await trouble(user, client_tls)
        assert (met.stage, met.code) == (expected, code), met
        assert met.reason
        await server.wait_until(lambda: server.open_connections == 0)


async def test_nobody_listens(login: Logins) -> None:
    met = await trouble(login(_free_port()))
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
