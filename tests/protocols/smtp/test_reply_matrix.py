"""Stages of a session x what a server may do there, over real sockets.

All stages up to the log-in, and a sample of those after it: ``tests/unit/smtp/`` has the whole
matrix of a transaction, without a socket.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.harness.patience import with_growing_patience
from tests.protocols.smtp.sessions import HASTINESS, PATIENT

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
from mail_proxy.smtp.connection import Connector
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.smtp_server import Act, Script, ScriptedSmtpServer, Stage

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]
ANN, BOB = "ann@example.org", "bob@example.org"
FROM = "shop@example.com"
OPENING: tuple[Stage, ...] = ("connect", "EHLO", "STARTTLS", "AUTH")

BEHAVIOURS: dict[str, Script] = {
    "4xx": "451 4.3.0 not now",
    "5xx": "554 5.0.0 not at all",
    "421": ("421 4.3.2 closing", Act.DROP),
    "drop": Act.DROP,
    "silence": Act.SILENCE,
    "garbage": "What do you want?",
    "3xx": "354 that is no answer to this",
}
#: What is tried over sockets after the log-in too.
SAMPLED = ("421", "drop", "silence")
#: In the order of BEHAVIOURS; trouble is the account's, with its stage.
MEANING: dict[Stage, str] = {
    "connect": "greeting greeting greeting greeting greeting greeting greeting",
    "EHLO": "ehlo ehlo ehlo ehlo ehlo ehlo ehlo",
    "STARTTLS": "tls tls tls tls tls tls tls",
    "AUTH": "auth auth auth auth auth auth auth",
    "MAIL": "deferred failed greeting deferred deferred deferred deferred",
    "RCPT": "deferred failed deferred deferred deferred deferred deferred",
    "DATA": "deferred failed deferred deferred deferred deferred deferred",
    "end of data": "deferred failed deferred uncertain uncertain uncertain uncertain",
}
CELLS = [
    pytest.param(stage, behaviour, expected, pipelining, id=f"{stage}-{behaviour}-{how}")
    for stage, meanings in MEANING.items()
    for behaviour, expected in zip(BEHAVIOURS, meanings.split(), strict=True)
    for pipelining, how in ((True, "pipelining"), (False, "one by one"))
    if stage in OPENING or behaviour in SAMPLED
]


@pytest.mark.parametrize(("stage", "behaviour", "expected", "pipelining"), CELLS)
async def test_every_behaviour_at_every_stage_means_what_the_table_says(
    stage: Stage,
    behaviour: str,
    expected: str,
    pipelining: bool,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    login: Logins,
    message: Messages,
) -> None:
    script = BEHAVIOURS[behaviour]

    async def attempt(seconds: float) -> None:
        timeouts = PATIENT
        if behaviour == "silence":
            wait = {"open": 4 * seconds} if stage in OPENING else {}
            answer = {} if stage in OPENING else {"command": seconds, "end_of_data": seconds}
            timeouts = replace(PATIENT, **wait, **answer)
        async with (
            ScriptedSmtpServer(
                pipelining=pipelining, tls_context=server_tls, users={"u": "hunter2"}
            ) as server,
            sending(timeouts, client_tls) as sender,
        ):
            account = login(server.port, user="u", password="hunter2")
            server.on(stage, script)
            outcome = await sender.send(account, FROM, [ANN], message("first"))
            assert meaning(outcome) == expected, outcome
            if behaviour in ("4xx", "5xx") and isinstance(script, str):
                assert script in str(outcome)

            server.forget_script()
            assert meaning(await sender.send(account, FROM, [BOB], message("second"))) == "sent"
            (arrived,) = server.accepted
            assert (arrived.recipients, b"second" in arrived.data) == ((BOB,), True)

    await with_growing_patience(attempt, HASTINESS)


#: Stage, reply, what it means. What a server says of one recipient is told with its address.
REFUSALS: list[tuple[Stage, str, str]] = [
    ("connect", "421 4.7.0 too many connections from you", "greeting"),
    ("connect", "554 5.7.1 your address is on a list", "greeting"),
    ("connect", "521 5.3.2 no mail is taken here", "greeting"),
    ("EHLO", "550 5.7.1 not with that name", "ehlo"),
    ("AUTH", "535 5.7.8 wrong password", "auth"),
    ("AUTH", "454 4.7.0 the directory is away", "auth"),
    ("AUTH", "534 5.7.9 use an application password", "auth"),
]


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
@pytest.mark.parametrize(("stage", "reply", "expected"), REFUSALS)
async def test_well_known_refusals(
    stage: Stage,
    reply: str,
    expected: str,
    pipelining: bool,
    sender: SmtpSender,
    login: Logins,
    message: Messages,
) -> None:
    async with ScriptedSmtpServer(pipelining=pipelining, users={"u": "hunter2"}) as server:
        account = login(server.port, user="u", password="hunter2")
        server.on(stage, reply)
        outcome = await sender.send(account, FROM, [ANN], message())
        assert meaning(outcome) in expected.split(" or "), outcome
        assert isinstance(outcome, Deferred | Failed | AccountTrouble)
        assert outcome.code == int(reply[:3])
        assert reply[4:] in outcome.reason
        assert server.accepted == []


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])
@pytest.mark.parametrize(
    ("offer", "recipient", "mail", "word"),
    [
        ({"size": 100}, ANN, ComposedMail(b"x" * 101, False, False), "at most 100"),
        ({"smtputf8": False}, "è@example.org", ComposedMail(b"x\r\n", False, False), "SMTPUTF8"),
        ({"smtputf8": False}, ANN, ComposedMail(b"x\r\n", True, True), "SMTPUTF8"),
        ({"eight_bit": False}, ANN, ComposedMail(b"\xe8\r\n", False, True), "8BITMIME"),
    ],
    ids=["size", "SMTPUTF8 for the envelope", "SMTPUTF8 for the headers", "8BITMIME"],
)
async def test_what_the_server_does_not_offer_is_not_tried(
    offer: dict[str, int],
    recipient: str,
    mail: ComposedMail,
    word: str,
    pipelining: bool,
    sender: SmtpSender,
    login: Logins,
    message: Messages,
) -> None:
    async with ScriptedSmtpServer(pipelining=pipelining, **offer) as server:  # type: ignore[arg-type]
        outcome = await sender.send(login(server.port), FROM, [recipient], mail)
        assert isinstance(outcome, Failed), outcome
        assert word in outcome.reason
        assert not [text for _, text in server.commands if text.startswith("MAIL")]


def meaning(outcome: Outcome) -> str:
    match outcome:
        case AccountTrouble(stage):
            return stage
        case Sent() | Deferred() | Failed() | Uncertain():
            return type(outcome).__name__.lower()


@asynccontextmanager
async def sending(timeouts: Timeouts, tls: ssl.SSLContext) -> AsyncIterator[SmtpSender]:
    pool = SMTPPool(Connector(timeouts, "client.example", tls))
    yield SmtpSender(pool)
    await pool.close_all()
