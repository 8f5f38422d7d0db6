"""Sends composed mails through the pool, and tests accounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble, Outcome
from mail_proxy.smtp.burst import withdraw
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.envelope import Burst, Envelope, Withdrawn
from mail_proxy.smtp.pool import SMTPPool

_PROBE_SECONDS = 25.0
_QUIT_SECONDS = 5.0


class ProbeStep(NamedTuple):
    """One step of an account test: ``connect``, ``tls``, ``login`` or ``quit``."""

    step: str
    ok: bool
    detail: str
    ms: float


def _always() -> bool:
    return True


class _OneMail:
    """A burst of a single mail."""

    def __init__(self, envelope: Envelope, may_begin: Callable[[], bool]) -> None:
        self.outcome: Outcome | Withdrawn | None = None
        self._envelope: Envelope | None = envelope
        self._may_begin = may_begin

    def next(self) -> Envelope | None:
        envelope, self._envelope = self._envelope, None
        if envelope is not None and not self._may_begin():
            self.outcome = Withdrawn()
            return None
        return envelope

    def may_begin(self, envelope: Envelope) -> bool:
        return self._may_begin()

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        self.outcome = outcome


class SmtpSender:
    """Sender of composed mails. Failures of servers are returned as values."""

    def __init__(self, pool: SMTPPool) -> None:
        self._pool = pool

    async def send_burst(self, login: SmtpLogin, burst: Burst) -> None:
        """Send mails of ``burst`` over one session, and report each outcome to it.

        If the server has closed an idle session, a new one is opened for the same attempt, and
        the burst ends with that mail. Cancelled, it closes its session, and reports a mail that
        may have been taken as uncertain; a mail that cannot have been taken is not reported.
        """
        returned: list[Envelope] = []
        is_first = True
        try:
            while is_first or returned:
                connection = await self._pool.acquire(login, fresh=not is_first)
                is_first = False
                if isinstance(connection, AccountTrouble):
                    given, returned = returned, []
                    _report_trouble(burst, given, connection)
                    return
                given, returned = returned, []
                try:
                    returned = await connection.carry(burst, given)
                finally:
                    self._pool.release(connection)
        except asyncio.CancelledError:
            for envelope in returned:
                if envelope.results:
                    withdraw(burst, envelope)
            raise

    async def send(
        self,
        login: SmtpLogin,
        mail_from: str,
        recipients: Sequence[str],
        message: ComposedMail,
        may_begin: Callable[[], bool] = _always,
    ) -> Outcome | Withdrawn:
        """Try once to send a single mail, and return the outcome.

        ``mail_from`` may be empty (a bounce), ``recipients`` may not. ``may_begin`` is called when
        a session is open, which may take minutes. Cancelling closes the session.
        """
        mail = _OneMail(Envelope(mail_from, recipients, message), may_begin)
        await self.send_burst(login, mail)
        assert mail.outcome is not None
        return mail.outcome

    async def probe(self, login: SmtpLogin, timeout: float = _PROBE_SECONDS) -> list[ProbeStep]:
        """Test an account on a new session, up to the first step that fails.

        Takes at most ``timeout`` seconds, and 5 more to close a session that was opened.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        dial = self._pool.connector.dial(login)
        steps: list[ProbeStep] = []
        for name, action in (
            ("connect", dial.connect),
            ("tls", dial.secure),
            ("login", dial.log_in),
        ):
            started = time.perf_counter()
            try:
                async with asyncio.timeout_at(deadline):
                    result = await action()
            except TimeoutError:
                result = AccountTrouble(name, f"not done {timeout:g} seconds after the start")
            if isinstance(result, AccountTrouble):
                failed = "tls" if result.stage == "tls" else name
                steps.append(ProbeStep(failed, False, result.reason, _ms_since(started)))
                return steps
            steps.append(ProbeStep(name, True, result, _ms_since(started)))
        connection = self._pool.connector.take_over(login, dial)
        started = time.perf_counter()
        agreed = await connection.quit(_QUIT_SECONDS)
        detail = "" if agreed else "no answer to QUIT"
        steps.append(ProbeStep("quit", agreed, detail, _ms_since(started)))
        return steps


def _report_trouble(burst: Burst, returned: Sequence[Envelope], trouble: AccountTrouble) -> None:
    """Report the trouble for the mails that wait for a session; at least one does."""
    if not returned:
        first = burst.next()
        returned = [] if first is None else [first]
    for envelope in returned:
        burst.done(envelope, envelope.concluded(trouble))


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
