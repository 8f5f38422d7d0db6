"""Sends composed mails through the pool, and tests accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble, Outcome
from mail_proxy.smtp.burst import withdraw
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.envelope import Burst, Envelope, SingleMail, Withdrawn
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.probe import PROBE_STEP_SECONDS, Probe, ProbeStep


def _always() -> bool:
    return True


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
        mail = SingleMail(Envelope(mail_from, recipients, message), may_begin)
        await self.send_burst(login, mail)
        assert mail.outcome is not None
        return mail.outcome

    async def probe(
        self,
        login: SmtpLogin,
        mail: Envelope | None = None,
        *,
        step_seconds: float = PROBE_STEP_SECONDS,
    ) -> list[ProbeStep]:
        """Test an account on a new session, up to the first step that fails.

        ``mail`` is sent too. Each step takes at most ``step_seconds``.
        """
        return await Probe(self._pool.connector, login, step_seconds).run(mail)


def _report_trouble(burst: Burst, returned: Sequence[Envelope], trouble: AccountTrouble) -> None:
    """Report the trouble for the mails that wait for a session; at least one does."""
    if not returned:
        first = burst.next()
        returned = [] if first is None else [first]
    for envelope in returned:
        burst.done(envelope, envelope.concluded(trouble))
