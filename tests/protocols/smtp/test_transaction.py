"""What becomes of the messages that a session carries, one after the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import Envelope
from tests.harness.patience import with_growing_patience
from tests.harness.processes import free_port
from tests.protocols.smtp.sessions import (
    ANN,
    BOB,
    EVE,
    FROM,
    HASTINESS,
    PATIENT,
    Logins,
    Messages,
    Returned,
    hasty,
    session,
    verbs,
)

from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Sent, Uncertain
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.testing.smtp_server import Act, ScriptedSmtpServer, Stage


@pytest.fixture(params=[True, False], ids=["pipelining", "one by one"])
async def either(request: pytest.FixtureRequest) -> Any:
    """A server that offers PIPELINING, and one that does not."""
    async with ScriptedSmtpServer(pipelining=request.param) as server:
        yield server


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
    controller.port = free_port()
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
    async def attempt(seconds: float) -> None:
        either.forget_script()
        either.on(stage, Act.SILENCE)
        async with session(login(either.port), hasty(seconds)) as connection:
            outcome = await connection.transact(FROM, [ANN], message())
            assert outcome == Deferred(f"timed out waiting for the server (at {stage})")
            assert not connection.is_open

    await with_growing_patience(attempt, HASTINESS)


@pytest.mark.parametrize("script", [Act.DROP, Act.SILENCE, b"what?\r\n", b"354 more\r\n"])
async def test_no_answer_to_the_whole_message_is_uncertain(
    either: ScriptedSmtpServer, login: Logins, message: Messages, script: Any
) -> None:
    async def attempt(seconds: float) -> None:
        either.forget_script()
        either.on_recipient(BOB, "550 no")
        either.on("end of data", script)
        timeouts = hasty(seconds) if script is Act.SILENCE else PATIENT
        async with session(login(either.port), timeouts) as connection:
            outcome = await connection.transact(FROM, [ANN, BOB], message())
            assert isinstance(outcome, Uncertain)
            assert outcome.reason.startswith("uncertain: ")
            assert [r.status for r in outcome.recipients] == ["deferred", "failed"]
            assert not connection.is_open

    await with_growing_patience(attempt, HASTINESS)


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
    "script",
    [
        ("421 4.4.2 idle too long", Act.DROP),
        ("451 4.4.2 Timeout waiting for data from client.", Act.DROP),
        "452 4.5.3 too many messages in this session",
        Act.DROP,
        Act.SILENCE,
    ],
)
async def test_a_reused_session_that_has_ended_is_stale(
    either: ScriptedSmtpServer, login: Logins, message: Messages, script: Any
) -> None:
    async def attempt(seconds: float) -> None:
        either.forget_script()
        either.accepted.clear()
        timeouts = hasty(seconds) if script is Act.SILENCE else PATIENT
        async with session(login(either.port), timeouts) as connection:
            assert isinstance(await connection.transact(FROM, [ANN], message()), Sent)
            either.on("MAIL", script)
            assert await connection.transact(FROM, [BOB], message()) == Returned()
            assert not connection.is_open
        assert len(either.accepted) == 1

    await with_growing_patience(attempt, HASTINESS)


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
        assert await connection.transact(FROM, [ANN], message()) == Returned()


async def test_a_session_that_ends_while_idle_is_known_to_be_closed(
    server: ScriptedSmtpServer, login: Logins, message: Messages
) -> None:
    async with session(login(server.port)) as connection:
        await connection.transact(FROM, [ANN], message())
        await server.drop_connections(last_words="421 4.4.2 idle too long")
        await connection.wait_closed()
        outcome = await connection.transact(FROM, [ANN], message())
    assert outcome == Returned()


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
