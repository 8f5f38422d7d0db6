"""One SMTP session that carries many messages, one after the other."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble, Outcome
from mail_proxy.smtp.bdat import BdatTransaction
from mail_proxy.smtp.capabilities import Capabilities
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.extension_backoff import ExtensionBackoff
from mail_proxy.smtp.handshake import Handshake, Step, default_local_hostname, default_tls_context
from mail_proxy.smtp.protocol import BrokenConnectionError, SmtpProtocol
from mail_proxy.smtp.redact import redaction_of
from mail_proxy.smtp.transaction import Observe, Stale, Timeouts, Transaction, observe_nothing
from mail_proxy.telemetry.series import SmtpPhase

#: A server that takes longer than this to forget a message is not worth keeping.
_RESET_SECONDS = 5.0
#: The largest message that is sent before the server has agreed to take it: what TCP carries
#: within a round trip or two, so that more would gain little and might be sent in vain.
_AT_ONCE_OCTETS = 65536
#: Servers may end silent sessions; a message sent at once into one of those is uncertain.
_AT_ONCE_IDLE_SECONDS = 5.0


class PooledConnection:
    """A session of one account, from log-in to QUIT. At most one transaction runs at a time.

    ``opened_at``, ``idle_since`` (instants of its clock), ``idle_seconds`` (how long it lay idle
    before this use) and ``distrust`` are the pool's. ``retired`` says that the session ends with
    the transaction that it is in.
    """

    __slots__ = (
        "_capabilities",
        "_observe",
        "_protocol",
        "_timeouts",
        "distrust",
        "idle_seconds",
        "idle_since",
        "login",
        "opened_at",
        "retired",
        "transactions",
    )

    def __init__(
        self,
        login: SmtpLogin,
        protocol: SmtpProtocol,
        capabilities: Capabilities,
        timeouts: Timeouts,
        observe: Observe = observe_nothing,
    ) -> None:
        self.login = login
        self.transactions = 0
        self.opened_at = 0.0
        self.idle_since = 0.0
        self.idle_seconds = 0.0
        self.retired = False
        self.distrust: ExtensionBackoff | None = None
        self._protocol = protocol
        self._capabilities = capabilities
        self._timeouts = timeouts
        self._observe = observe

    @property
    def is_open(self) -> bool:
        """False from the moment that either side is known to have ended the session."""
        return self._protocol.broken is None

    async def transact(
        self, mail_from: str, recipients: Sequence[str], message: ComposedMail
    ) -> Outcome | Stale:
        """Send one message. Afterwards the session is as new, or closed.

        ``Stale`` comes only from a session that carried a message before. Cancelled: closed.
        """
        is_reused = self.transactions > 0
        self.transactions += 1
        refusal = self._capabilities.refusal(mail_from, recipients, message)
        if refusal is not None:
            return refusal
        usable = self._usable()
        kind = BdatTransaction if self._may_go_at_once(usable, message) else Transaction
        transaction = kind(
            self._protocol, usable, self._timeouts, is_reused=is_reused, observe=self._observe
        )
        is_done = False
        try:
            outcome = await transaction.run(mail_from, recipients, message)
            if not transaction.is_settled:
                await self._settle(transaction)
            is_done = True
        finally:
            if not is_done:
                self.abort()
        return outcome

    async def quit(self, timeout: float) -> bool:
        """End the session; whether the server agreed within ``timeout`` seconds."""
        self._protocol.hang_up(timeout)
        await self._protocol.wait_closed()
        return self._protocol.has_agreed_to_quit

    def hang_up(self, timeout: float) -> None:
        """``quit`` without waiting for it."""
        self._protocol.hang_up(timeout)

    async def wait_closed(self) -> None:
        """Until either side has closed the connection."""
        await self._protocol.wait_closed()

    def abort(self) -> None:
        self._protocol.abort()

    def _usable(self) -> Capabilities:
        if self.distrust is None:
            return self._capabilities
        return self.distrust.usable(self.login.host, self.login.port, self._capabilities)

    def _may_go_at_once(self, usable: Capabilities, message: ComposedMail) -> bool:
        return (
            usable.chunking
            and usable.pipelining
            and len(message.data) <= _AT_ONCE_OCTETS
            and self.idle_seconds < _AT_ONCE_IDLE_SECONDS
        )

    async def _settle(self, transaction: Transaction) -> None:
        """Nothing of a refused message may leak into the next one."""
        if transaction.broke_over is not None and self.distrust is not None:
            self.distrust.add(self.login.host, self.login.port, transaction.broke_over)
        if transaction.is_over or not await self._reset():
            self.abort()

    async def _reset(self) -> bool:
        try:
            self._protocol.expect(1)
            self._protocol.write(b"RSET\r\n")
            reply = await self._protocol.reply(_RESET_SECONDS)
        except BrokenConnectionError:
            return False
        return reply.code // 100 == 2


@dataclass(frozen=True, slots=True)
class Connector:
    """How sessions are opened. ``local_hostname`` is what EHLO says. ``tls_context`` replaces the
    system's for accounts with ``verify_cert``, for servers with certificates of a private CA.
    ``observe`` is told how long everything took."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    local_hostname: str = field(default_factory=default_local_hostname)
    tls_context: ssl.SSLContext | None = None
    observe: Observe = observe_nothing

    def dial(self, login: SmtpLogin) -> Handshake:
        context = self.tls_context if login.verify_cert else None
        return Handshake(
            login,
            local_hostname=self.local_hostname,
            tls_context=context or default_tls_context(login.verify_cert),
            timeout=self.timeouts.open,
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
        """The session of a ``dial`` whose every step has succeeded."""
        transport, capabilities = dial.hand_over()
        return PooledConnection(
            login,
            SmtpProtocol(transport, redaction_of(login)),
            capabilities,
            self.timeouts,
            self.observe,
        )
