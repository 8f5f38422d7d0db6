"""Sends composed mails through the pool, and tests accounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mail_proxy.domain.account import SmtpLogin
from mail_proxy.domain.outcome import AccountTrouble, Outcome
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.pool import SMTPPool
from mail_proxy.smtp.transaction import Stale

_PROBE_SECONDS = 25.0
_QUIT_SECONDS = 5.0


class ProbeStep(NamedTuple):
    """One step of an account test: ``connect``, ``tls``, ``login`` or ``quit``."""

    step: str
    ok: bool
    detail: str
    ms: float


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Outcome of a message that ``may_begin`` stopped before its transaction."""


def _always() -> bool:
    return True


class SmtpSender:
    """Sender of composed mails. Failures of servers are returned as values."""

    def __init__(self, pool: SMTPPool) -> None:
        self._pool = pool

    async def send(
        self,
        login: SmtpLogin,
        mail_from: str,
        recipients: Sequence[str],
        message: ComposedMail,
        may_begin: Callable[[], bool] = _always,
    ) -> Outcome | Withdrawn:
        """Try once to send a message, and return the outcome.

        ``mail_from`` may be empty (a bounce), ``recipients`` may not. ``may_begin`` is called when
        a session is open, which may take minutes. If the server has closed an idle session, a new
        one is opened for the same attempt. Cancelling closes the session;
        ``CancelledAfterEndOfData`` means that the message may have been accepted.
        """
        given = (login, mail_from, recipients, message, may_begin)
        outcome = await self._attempt(*given, fresh=False)
        if isinstance(outcome, Stale):
            outcome = await self._attempt(*given, fresh=True)
        assert not isinstance(outcome, Stale), "only a reused session can be stale"
        return outcome

    async def _attempt(
        self,
        login: SmtpLogin,
        mail_from: str,
        recipients: Sequence[str],
        message: ComposedMail,
        may_begin: Callable[[], bool],
        *,
        fresh: bool,
    ) -> Outcome | Stale | Withdrawn:
        connection = await self._pool.acquire(login, fresh=fresh)
        if isinstance(connection, AccountTrouble):
            return connection
        try:
            if not may_begin():
                return Withdrawn()
            return await connection.transact(mail_from, recipients, message)
        finally:
            self._pool.release(connection)

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


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
