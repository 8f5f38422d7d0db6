"""One mail transaction on an open connection: MAIL, RCPT, DATA, the message, the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from time import perf_counter

from mail_proxy.domain.outcome import (
    Deferred,
    Outcome,
    RecipientResult,
    RecipientStatus,
)
from mail_proxy.smtp.capabilities import Capabilities, Extension, needs_smtputf8
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.protocol import BrokenConnectionError, SmtpProtocol
from mail_proxy.smtp.replies import (
    CLOSING_CODE,
    OUT_OF_ORDER_CODE,
    Reply,
    Stage,
    Verdict,
    all_refused,
    message_refused,
    recipient_result,
    sent,
    unanswered,
    verdict,
)
from mail_proxy.telemetry.series import SmtpPhase

_DATA = b"DATA\r\n"
#: Answers to RCPT that are about the session and not about the recipient.
_SESSION_VERDICTS = (Verdict.ACCOUNT, Verdict.UNEXPECTED)
#: Octets handed to the transport at once: large enough to be cheap, small enough to notice in
#: time that the server has refused or stopped reading.
_CHUNK_OCTETS = 65536
#: Is told how many seconds an exchange took.
Observe = Callable[[SmtpPhase, float], None]


def observe_nothing(phase: SmtpPhase, seconds: float) -> None:
    """For sessions that nobody watches."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``open`` bounds each step up to the log-in, ``command`` the wait for each reply,
    ``end_of_data`` the wait for the answer to the whole message (RFC 5321 section 4.5.3.2 asks
    for patience there: giving up leaves it uncertain), ``send`` the transaction as a whole."""

    open: float = 30.0
    command: float = 60.0
    end_of_data: float = 300.0
    send: float = 300.0


@dataclass(frozen=True, slots=True)
class Stale:
    """The server ended a reused connection before it knew of the message: nothing was tried."""

    reason: str


class CancelledAfterEndOfData(asyncio.CancelledError):
    """Cancelled between the end of the message and its answer: it may have been taken."""


class Transaction:
    """Runs once. Afterwards ``is_settled`` tells whether the session is back at its start, so
    that the next transaction may follow; if not, it needs RSET, unless it ``is_over``.
    ``broke_over`` is the extension that the server may not be up to after all."""

    _phase: SmtpPhase = "mail"

    def __init__(
        self,
        protocol: SmtpProtocol,
        capabilities: Capabilities,
        timeouts: Timeouts,
        *,
        is_reused: bool,
        observe: Observe = observe_nothing,
    ) -> None:
        self.is_settled = False
        self.is_over = False
        self.broke_over: Extension | None = None
        self._protocol = protocol
        self._capabilities = capabilities
        self._timeouts = timeouts
        self._is_reused = is_reused
        self._observe = observe
        self._phase_began = perf_counter()
        self._deadline = protocol.time() + timeouts.send
        self._stage = Stage.MAIL
        self._is_answered = False
        self._is_ahead = False
        self._recipients: Sequence[str] = ()
        self._results: list[RecipientResult] = []

    async def run(
        self, mail_from: str, recipients: Sequence[str], message: ComposedMail
    ) -> Outcome | Stale:
        self._recipients = recipients
        commands = [self._mail_command(mail_from, recipients, message)]
        commands += [b"RCPT TO:<%b>\r\n" % address.encode() for address in recipients]
        try:
            outcome = await self._converse(commands, message)
        except BrokenConnectionError as error:
            outcome = self._broken(str(error))
        except asyncio.CancelledError:
            if self._stage is Stage.END_OF_DATA:
                raise CancelledAfterEndOfData from None
            raise
        self._phase_ends()
        return outcome

    def _phase_ends(self) -> None:
        now = perf_counter()
        self._observe(self._phase, now - self._phase_began)
        self._phase_began = now

    async def _converse(self, commands: list[bytes], message: ComposedMail) -> Outcome | Stale:
        """``commands`` are MAIL and the RCPTs."""
        recipients = self._recipients
        if self._capabilities.pipelining:
            self._protocol.expect(len(commands) + 1)
            self._protocol.write(b"".join(commands) + _DATA)
            self._is_ahead = True
        reply = await self._command(commands[0])
        self._is_answered = True
        if verdict(Stage.MAIL, reply) is not Verdict.ACCEPTED:
            return await self._mail_refused(reply, len(recipients))
        self._stage = Stage.RCPT
        for address, command in zip(recipients, commands[1:], strict=True):
            reply = await self._command(command)
            if verdict(Stage.RCPT, reply) in _SESSION_VERDICTS:
                return self._message_refused(Stage.RCPT, reply)
            if reply.code == CLOSING_CODE:
                rest = recipients[len(self._results) :]
                self._results += [recipient_result(address, reply) for address in rest]
                return self._message_refused(Stage.RCPT, reply)
            self._refuse_disorder(reply)
            self._results.append(recipient_result(address, reply))
        if any(result.status is RecipientStatus.SENT for result in self._results):
            return await self._data(message)
        await self._leave_pipeline(0)
        return all_refused(self._results)

    async def _data(self, message: ComposedMail) -> Outcome:
        self._stage = Stage.DATA
        reply = await self._command(_DATA)
        if verdict(Stage.DATA, reply) is not Verdict.ACCEPTED:
            self._refuse_disorder(reply)
            return self._message_refused(Stage.DATA, reply)
        self._phase_ends()
        self._phase = "data"
        reply = await self._body(message.data)
        if verdict(Stage.END_OF_DATA, reply) is not Verdict.ACCEPTED:
            return self._message_refused(Stage.END_OF_DATA, reply)
        self.is_settled = not self.is_over
        return sent(self._results, reply)

    async def _body(self, data: bytes) -> Reply:
        """Send the message, dot-stuffed (RFC 5321 section 4.5.2), and give the final reply."""
        end = b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n"
        stuffed = data.replace(b"\r\n.", b"\r\n..") + end
        if data.startswith(b"."):
            stuffed = b"." + stuffed
        self._protocol.expect(1)
        final_chunk: bytes | memoryview = stuffed
        if len(stuffed) > _CHUNK_OCTETS:
            view = memoryview(stuffed)
            last = (len(stuffed) - 1) // _CHUNK_OCTETS * _CHUNK_OCTETS
            for start in range(0, last, _CHUNK_OCTETS):
                self._protocol.write(view[start : start + _CHUNK_OCTETS])
                self._is_ahead = False
                await self._protocol.drain(self._deadline)
                if self._protocol.has_reply:
                    return await self._early_reply()
            final_chunk = view[last:]
        self._protocol.write(final_chunk)
        self._stage = Stage.END_OF_DATA
        return await self._protocol.reply(self._timeouts.end_of_data, self._deadline)

    async def _early_reply(self) -> Reply:
        """The server refused in the middle of the message, which therefore has no end."""
        self.is_over = True
        reply = await self._protocol.reply(0)
        if verdict(Stage.END_OF_DATA, reply) is Verdict.ACCEPTED:
            raise BrokenConnectionError(f"the server answered before the end of data: {reply}")
        return reply

    def _command(self, command: bytes) -> Coroutine[None, None, Reply]:
        """The reply to ``command``, which has been sent already when the server pipelines."""
        if not self._capabilities.pipelining:
            self._protocol.expect(1)
            self._protocol.write(command)
        return self._protocol.reply(self._timeouts.command, self._deadline)

    def _refuse_disorder(self, reply: Reply) -> None:
        """What was sent in order and arrived out of order says nothing about the message."""
        if self._is_ahead and reply.code == OUT_OF_ORDER_CODE:
            raise BrokenConnectionError(f"{self._stage} refused: {reply}")

    def _mail_command(
        self, mail_from: str, recipients: Sequence[str], message: ComposedMail
    ) -> bytes:
        # RFC 1870 section 5 counts neither stuffed dots nor the final one.
        size = b" SIZE=%d" % len(message.data) if self._capabilities.declares_size else b""
        body = b" BODY=8BITMIME" if message.is_8bit else b""
        utf8 = b" SMTPUTF8" if needs_smtputf8(mail_from, recipients, message) else b""
        return b"MAIL FROM:<%b>%b%b%b\r\n" % (mail_from.encode(), size, body, utf8)

    async def _mail_refused(self, reply: Reply, recipients: int) -> Outcome | Stale:
        if reply.code == CLOSING_CODE and self._is_reused:
            self.is_over = True
            return Stale(str(reply))
        outcome = self._message_refused(Stage.MAIL, reply)
        await self._leave_pipeline(recipients)
        return outcome

    def _message_refused(self, stage: Stage, reply: Reply) -> Outcome:
        judgement = verdict(stage, reply)
        if judgement is Verdict.UNEXPECTED:
            raise BrokenConnectionError(f"unexpected reply: {reply}")
        if reply.code == CLOSING_CODE or judgement is Verdict.ACCOUNT:
            self.is_over = True
        return message_refused(stage, reply, self._results)

    async def _leave_pipeline(self, recipients: int) -> None:
        """Read what answers the commands that were sent ahead of a refusal."""
        if self.is_over or not self._capabilities.pipelining:
            return
        try:
            for _ in range(recipients):
                await self._command(b"")
            reply = await self._command(_DATA)
            if verdict(Stage.DATA, reply) is Verdict.ACCEPTED:
                # RFC 2920 section 3.1: a server may ask for a message that has no recipient.
                self._protocol.expect(1)
                self._protocol.write(b".\r\n")
                await self._protocol.reply(self._timeouts.command, self._deadline)
        except BrokenConnectionError:
            self.is_over = True
            self.broke_over = "pipelining"

    def _broken(self, reason: str) -> Outcome | Stale:
        self.is_over = True
        if self._stage is Stage.END_OF_DATA:
            return unanswered(f"uncertain: {reason} after the end of data", self._results)
        if self._is_reused and not self._is_answered:
            return Stale(reason)
        if self._is_ahead:
            self.broke_over = "pipelining"
        return Deferred(f"{reason} (at {self._stage})")
