"""Sessions with servers on loopback, for tests."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble, Outcome
from mail_proxy.kit.clock import Clock
from mail_proxy.smtp.burst import Timeouts
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.connection import Connector, PooledConnection
from mail_proxy.smtp.envelope import Envelope, Withdrawn
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.sender import SmtpSender
from mail_proxy.testing.smtp_server import ScriptedSmtpServer

Logins = Callable[..., SmtpLogin]
Messages = Callable[..., ComposedMail]
ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
FROM = "shop@example.com"
#: Long enough for any loaded machine, for waits that must not end.
PATIENT = Timeouts(open=60, command=60, end_of_data=60, send=60)
#: Seconds that a silent server is waited for, longer if the machine is busy.
HASTINESS = (0.1, 1.0, 10.0)


def hasty(seconds: float) -> Timeouts:
    """Return time-outs that end a wait for a silent server after a short time."""
    return Timeouts(open=4 * seconds, command=seconds, end_of_data=seconds, send=60)


class Session:
    """A session outside of any pool."""

    def __init__(self, connection: PooledConnection) -> None:
        self.connection = connection

    @property
    def is_open(self) -> bool:
        return self.connection.is_open

    async def wait_closed(self) -> None:
        await self.connection.wait_closed()

    async def transact(
        self, mail_from: str, recipients: Sequence[str], message: ComposedMail
    ) -> Outcome | Returned:
        """Send one mail; ``Returned`` if it may go over another session."""
        mails = Mails([Envelope(mail_from, recipients, message)])
        if await self.connection.carry(mails):
            return Returned()
        ((_, outcome),) = mails.outcomes
        assert not isinstance(outcome, Withdrawn)
        return outcome


@dataclass(frozen=True)
class Returned:
    """A session gave a mail back."""


class Mails:
    """A burst of given mails, and what became of them."""

    def __init__(self, envelopes: Sequence[Envelope]) -> None:
        self.waiting = deque(envelopes)
        self.outcomes: list[tuple[Envelope, Outcome | Withdrawn]] = []
        self.is_open = True

    def next(self) -> Envelope | None:
        return self.waiting.popleft() if self.waiting and self.is_open else None

    def may_begin(self, envelope: Envelope) -> bool:
        return self.is_open

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        self.outcomes.append((envelope, outcome))


@asynccontextmanager
async def session(login: SmtpLogin, timeouts: Timeouts = PATIENT, tls: Any = None) -> Any:
    connection = await Connector(timeouts, "client.example", tls).open(login)
    assert isinstance(connection, PooledConnection), connection
    try:
        yield Session(connection)
    finally:
        await connection.quit(5)


@asynccontextmanager
async def sender_with(timeouts: Timeouts, clock: Clock, tls: ssl.SSLContext) -> Any:
    pool = SMTPPool(Connector(timeouts, "client.example", tls), clock=clock)
    yield SmtpSender(pool)
    await pool.close_all()


async def trouble(
    login: SmtpLogin, tls: ssl.SSLContext | None = None, timeouts: Timeouts = PATIENT
) -> AccountTrouble:
    result = await Connector(timeouts, "client.example", tls).open(login)
    assert isinstance(result, AccountTrouble)
    return result


def verbs(server: ScriptedSmtpServer) -> list[str]:
    return [line.split(" ")[0] for _, line in server.commands]
