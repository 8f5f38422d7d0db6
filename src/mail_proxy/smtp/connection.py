"""One SMTP session that carries many messages, one after the other."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble
from mail_proxy.network.access_tokens import TokenSource
from mail_proxy.network.guard import NetworkGuard
from mail_proxy.network.tls import system_tls_context
from mail_proxy.smtp.burst import BurstRun, Timeouts
from mail_proxy.smtp.envelope import Burst, Envelope
from mail_proxy.smtp.extension_backoff import ExtensionBackoff
from mail_proxy.smtp.handshake import Handshake, Step
from mail_proxy.smtp.protocol import SmtpProtocol
from mail_proxy.smtp.transaction import Observe, observe_nothing
from mail_proxy.telemetry.series import SmtpPhase

#: Servers may end silent sessions; a message sent at once into one of those is uncertain.
_BDAT_IDLE_SECONDS = 5.0


class PooledConnection:
    """A session of one account, from log-in to QUIT. At most one burst runs at a time.

    ``opened_at``, ``idle_since`` (instants of its clock), ``idle_seconds`` (how long it lay idle
    before this use), ``backoff`` and ``may_go_on`` are the pool's. ``retired``: the session ends
    with the mail that it is in.
    """

    __slots__ = (
        "_observe",
        "_protocol",
        "_timeouts",
        "backoff",
        "idle_seconds",
        "idle_since",
        "login",
        "may_go_on",
        "opened_at",
        "retired",
    )

    def __init__(
        self,
        login: SmtpLogin,
        protocol: SmtpProtocol,
        timeouts: Timeouts,
        observe: Observe = observe_nothing,
    ) -> None:
        self.login = login
        self.opened_at = 0.0
        self.idle_since = 0.0
        self.idle_seconds = 0.0
        self.retired = False
        self.backoff: ExtensionBackoff | None = None
        self.may_go_on: Callable[[], bool] = _always
        self._protocol = protocol
        self._timeouts = timeouts
        self._observe = observe

    @property
    def is_open(self) -> bool:
        """False from the moment that either side is known to have ended the session."""
        return self._protocol.session.broken is None

    @property
    def transactions(self) -> int:
        """Number of transactions that the session has carried or begun."""
        return self._protocol.session.transactions

    @property
    def most_transactions(self) -> int:
        """Number of transactions that the account and the server allow a session."""
        known = self._protocol.session.capabilities.most_transactions
        most = self.login.batch_size
        return most if known is None else min(most, known)

    async def carry(self, burst: Burst, returned: Sequence[Envelope] = ()) -> list[Envelope]:
        """Send the mails of a burst. Afterwards the session is as new, or closed.

        ``returned`` are mails that came back from another session, and then the only ones that
        are sent. Returns those that come back from this one: sending them cost no attempt.
        Cancelled, it closes the session, and reports a mail that may have been taken.
        """
        session = self._protocol.session
        login, backoff = self.login, self.backoff
        usable = session.capabilities
        if backoff is not None:
            usable = backoff.usable(login.host, login.port, usable)
        run = BurstRun(
            session,
            burst,
            self._timeouts,
            usable,
            may_go_on=self.may_go_on,
            may_use_bdat=self.idle_seconds < _BDAT_IDLE_SECONDS,
            observe=self._observe,
        )
        await self._protocol.carry(run, returned)
        if run.broke_over is not None and backoff is not None:
            backoff.add(login.host, login.port, run.broke_over)
        return run.returned

    async def quit(self, timeout: float) -> bool:
        """End the session; whether the server agreed within ``timeout`` seconds."""
        self._protocol.hang_up(timeout)
        await self._protocol.wait_closed()
        return self._protocol.has_agreed_to_quit

    def hang_up(self, timeout: float) -> None:
        """``quit`` without waiting for it."""
        self._protocol.hang_up(timeout)

    async def wait_closed(self) -> None:
        """Wait until either side has closed the connection."""
        await self._protocol.wait_closed()

    def abort(self) -> None:
        """Close the connection without QUIT."""
        self._protocol.abort()


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Connector:
    """Opens sessions.

    ``local_hostname`` is what EHLO says for accounts without ``helo_name``; None stands for the
    host's full name, else the literal of the connection's own address. ``tls_context`` replaces the
    system's for accounts with ``verify_cert``, for servers with certificates of a private CA.
    ``observe`` is called with how long each exchange took. ``guard`` decides which addresses may
    be connected to. ``tokens`` has the access tokens of accounts that log in with them.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    local_hostname: str | None = None
    tls_context: ssl.SSLContext | None = None
    observe: Observe = observe_nothing
    guard: NetworkGuard = field(default_factory=NetworkGuard)
    tokens: TokenSource | None = None

    def dial(self, login: SmtpLogin) -> Handshake:
        context = self.tls_context if login.verify_cert else None
        return Handshake(
            login,
            local_hostname=self.local_hostname,
            tls_context=context or system_tls_context("smtp", verify_cert=login.verify_cert),
            timeout=self.timeouts.open,
            guard=self.guard,
            tokens=self.tokens,
        )

    async def open(self, login: SmtpLogin) -> PooledConnection | AccountTrouble:
        dial = self.dial(login)
        steps: tuple[tuple[SmtpPhase, Step], ...] = (
            ("connect", dial.connect),
            ("tls", dial.secure),
            ("login", dial.log_in),
        )
        for phase, step in steps:
            began = perf_counter()
            result = await step()
            if dial.used_network:
                self.observe(phase, perf_counter() - began)
            if isinstance(result, AccountTrouble):
                return result
        return self.take_over(login, dial)

    def take_over(self, login: SmtpLogin, dial: Handshake) -> PooledConnection:
        """Return the session of a ``dial`` whose every step has succeeded."""
        return PooledConnection(login, dial.hand_over(), self.timeouts, self.observe)
