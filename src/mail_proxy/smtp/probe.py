"""Test of an SMTP account in steps: connect, TLS, log-in, a test mail, QUIT."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from mail_proxy.domain.account import SmtpLogin, TlsMode
from mail_proxy.domain.outcome import AccountTrouble, Sent
from mail_proxy.smtp import probe_hints
from mail_proxy.smtp.connection import Connector, PooledConnection
from mail_proxy.smtp.envelope import Envelope, SingleMail

PROBE_STEP_SECONDS = 10.0
_QUIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """Step of an account test: ``connect``, ``tls``, ``login``, ``mail`` or ``quit``.

    ``detail`` is the server's reply or the error. ``hint`` says what to change after a failure.
    """

    step: str
    ok: bool
    detail: str
    ms: float
    hint: str | None = None


class Probe:
    """Test of an account on a session of its own, which no other message uses."""

    def __init__(self, connector: Connector, login: SmtpLogin, step_seconds: float) -> None:
        """Limit each step to ``step_seconds``."""
        self._connector = connector
        self._login = login
        self._step_seconds = step_seconds
        self.steps: list[ProbeStep] = []
        #: The server's certificate (DER); None before TLS, or without.
        self.certificate: bytes | None = None

    async def run(self, mail: Envelope | None = None) -> list[ProbeStep]:
        """Return the steps up to the first one that fails; send ``mail`` if there is one."""
        dial = self._connector.dial(self._login)
        for name, action in (
            ("connect", dial.connect),
            ("tls", dial.secure),
            ("login", dial.log_in),
        ):
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self._step_seconds):
                    result = await action()
            except TimeoutError:
                result = AccountTrouble(name, f"not done within {self._step_seconds:g} seconds")
            if isinstance(result, AccountTrouble):
                failed = "tls" if result.stage == "tls" else name
                ms = _ms_since(started)
                self.steps.append(
                    ProbeStep(failed, False, result.reason, ms, await self._hint(failed, result))
                )
                return self.steps
            self.steps.append(ProbeStep(name, True, result, _ms_since(started)))
            self.certificate = dial.certificate
        connection = self._connector.take_over(self._login, dial)
        if mail is None or await self._send(connection, mail):
            await self._quit(connection)
        return self.steps

    async def _send(self, connection: PooledConnection, mail: Envelope) -> bool:
        started = time.perf_counter()
        burst = SingleMail(mail, lambda: True)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._step_seconds):
                await connection.carry(burst)
        outcome = burst.outcome
        if isinstance(outcome, Sent):
            detail, hint = f"{outcome.code} {outcome.response}", None
        else:
            reason = getattr(outcome, "reason", None)
            detail = reason or f"not done within {self._step_seconds:g} seconds"
            hint = probe_hints.of_the_mail(detail)
            connection.abort()
        step = ProbeStep("mail", hint is None, detail, _ms_since(started), hint)
        self.steps.append(step)
        return step.ok

    async def _quit(self, connection: PooledConnection) -> None:
        started = time.perf_counter()
        agreed = await connection.quit(_QUIT_SECONDS)
        detail = "" if agreed else "no answer to QUIT"
        self.steps.append(ProbeStep("quit", agreed, detail, _ms_since(started)))

    async def _hint(self, step: str, trouble: AccountTrouble) -> str | None:
        """Return what to change. If TLS may be the cause, the other TLS mode is tried."""
        login = self._login
        for other in probe_hints.other_modes(login, step, trouble):
            if await self._greets(replace(login, tls=other)):
                return probe_hints.of_the_mode(login, other)
        return probe_hints.of_trouble(login, trouble)

    async def _greets(self, login: SmtpLogin) -> bool:
        """Return True if the server greets and, with STARTTLS, encrypts in this TLS mode."""
        dial = self._connector.dial(login)
        try:
            async with asyncio.timeout(self._step_seconds):
                if isinstance(await dial.connect(), AccountTrouble):
                    return False
                if login.tls is TlsMode.STARTTLS:
                    return not isinstance(await dial.secure(), AccountTrouble)
                return True
        except TimeoutError:
            return False
        finally:
            dial.close()


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
