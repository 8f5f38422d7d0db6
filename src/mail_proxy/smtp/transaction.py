"""Mail transaction as a state machine: MAIL, RCPT, DATA, the message, the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter

from mail_proxy.domain.outcome import Deferred, Outcome, RecipientResult
from mail_proxy.smtp.body import Body, body_of
from mail_proxy.smtp.capabilities import Capabilities, Extension, needs_smtputf8
from mail_proxy.smtp.envelope import Envelope
from mail_proxy.smtp.replies import (
    CLOSING_CODE,
    OUT_OF_ORDER_CODE,
    Reply,
    Stage,
    Verdict,
    all_refused,
    ends_session,
    is_recipient_limit,
    message_refused,
    recipient_result,
    sent,
    unanswered,
    verdict,
)
from mail_proxy.telemetry.series import SmtpPhase

_DATA = b"DATA\r\n"
_EMPTY_MESSAGE = b".\r\n"
#: Answers to RCPT that are about the session and not about the recipient.
_SESSION_VERDICTS = (Verdict.ACCOUNT, Verdict.UNEXPECTED)
#: Called with how many seconds an exchange took.
Observe = Callable[[SmtpPhase, float], None]


def observe_nothing(phase: SmtpPhase, seconds: float) -> None:
    """Ignore the time that an exchange took."""


@dataclass(frozen=True, slots=True)
class Stale:
    """Result of a session that ended before the server knew of the mail: no attempt.

    The session may also ask for RSET instead of ending.
    """

    reason: str
    may_reset: bool = False


class Transaction:
    """SMTP dialogue about one mail, without I/O: replies go in, bytes come out.

    ``outcome`` is there once it is certain, ``is_done`` once no reply is owed any more. Then
    ``is_over`` says that the session cannot be used again, ``needs_reset`` that it takes a RSET,
    and ``broke_over`` which extension the server may have failed with. ``left`` are recipients
    that the server wants in another transaction. ``is_settled``: the outcome is each recipient's
    own, not one of the message or the session. ``owed`` counts the replies to the commands
    and messages written since the caller last set it to 0. ``deadline`` is the caller's.
    """

    stage = Stage.MAIL
    outcome: Outcome | Stale | None = None
    is_done = False
    is_over = False
    is_settled = False
    needs_reset = False
    broke_over: Extension | None = None
    owed = 0
    deadline = inf
    _is_answered = False
    _is_ahead = False
    _is_taken_by_rcpt = False
    _draining = 0
    _body: Body | None = None
    _phase: SmtpPhase = "mail"
    _phase_began = 0.0
    #: Command that asks for the message, sent ahead of the replies; empty if there is none.
    _data_command = _DATA

    def __init__(
        self,
        envelope: Envelope,
        offer: Capabilities,
        observe: Observe = observe_nothing,
        *,
        most_recipients: int | None = None,
        is_reused: bool = False,
    ) -> None:
        self.envelope = envelope
        self.recipients: Sequence[str] = envelope.pending
        if most_recipients is not None:
            self.recipients = self.recipients[:most_recipients]
        self.is_reused = is_reused
        self.left: list[str] = []
        self._offer = offer
        self._observe = observe
        self._results: list[RecipientResult] = []

    def start(self) -> bytes:
        """Return the first bytes to write: the whole envelope where the server pipelines."""
        self._phase_began = perf_counter()
        mail = self._mail_command()
        if not self._offer.pipelining:
            return self._write(mail)
        self._is_ahead = True
        recipients = self.recipients
        self.owed += len(recipients) + 1 + bool(self._data_command)
        rcpts = [b"RCPT TO:<%b>\r\n" % address.encode() for address in recipients]
        envelope = b"".join((mail, *rcpts, self._data_command))
        self.envelope.dialogue.append(envelope)
        return envelope

    @property
    def is_sending(self) -> bool:
        """True if more of the message is to be written, with ``more``."""
        return self._body is not None and not self.is_done

    @property
    def is_unanswered(self) -> bool:
        """True if the message is written and unanswered, so that it may be accepted."""
        return self.stage is Stage.END_OF_DATA and self.outcome is None

    def receive(self, reply: Reply) -> bytes:
        """Take the reply to the oldest command without one; return what to write next."""
        self.envelope.dialogue.append(reply)
        if self._draining:
            return self._drained(reply)
        stage = self.stage
        if stage is Stage.RCPT:
            return self._rcpt_answered(reply)
        if stage is Stage.MAIL:
            return self._mail_answered(reply)
        if stage is Stage.END_OF_DATA:
            return self._end_answered(reply)
        if self._body is not None:
            return self._answered_early(reply)
        return self._data_answered(reply)

    def has_more(self, on_ready: Callable[[], None]) -> bool:
        """Return whether ``more`` has a part; else call ``on_ready`` once it has."""
        return self._body is not None and self._body.is_ready(on_ready)

    def more(self) -> bytes:
        """Return the next part of a message that is not written at once.

        Raises UnreadableError if a file cannot be read; the message must get no end then.
        """
        assert self._body is not None
        part = self._body.next()
        if self._body.is_complete:
            self._body = None
            self.stage = Stage.END_OF_DATA
        return part

    def restart_clock(self, deadline: float) -> None:
        """Begin to count the time of a transaction that was sent ahead."""
        self.deadline = deadline
        self._phase_began = perf_counter()

    def lose(self, reason: str, *, is_written: bool = True) -> None:
        """Take note that the session has ended; no reply will come.

        ``is_written``: False if the latest output did not get to the transport.
        """
        self.is_over = self.is_done = True
        if not is_written and self.is_unanswered:
            self.stage = Stage.DATA
        if self.outcome is not None:
            if not isinstance(self.outcome, Stale):
                # The refusal has arrived; only the commands sent ahead of it have no reply yet.
                self.broke_over = "pipelining"
            return
        self.outcome = self._broken(reason)
        self._phase_ends()

    def _mail_command(self) -> bytes:
        mail_from, message = self.envelope.mail_from, self.envelope.message
        offer = self._offer
        # RFC 1870 section 5 counts neither stuffed dots nor the final one.
        size = b" SIZE=%d" % message.size if offer.declares_size else b""
        body = b" BODY=8BITMIME" if message.is_8bit else b""
        utf8 = b" SMTPUTF8" if needs_smtputf8(mail_from, self.recipients, message) else b""
        return b"MAIL FROM:<%b>%b%b%b\r\n" % (mail_from.encode(), size, body, utf8)

    def _write(self, command: bytes) -> bytes:
        self.owed += 1
        self.envelope.dialogue.append(command)
        return command

    def _phase_ends(self) -> None:
        now = perf_counter()
        self._observe(self._phase, now - self._phase_began)
        self._phase_began = now

    def _mail_answered(self, reply: Reply) -> bytes:
        self._is_answered = True
        if reply.code // 100 == 2:
            self.stage = Stage.RCPT
            return b"" if self._is_ahead else self._next_rcpt()
        if self.is_reused and ends_session(reply):
            may_reset = reply.code == OUT_OF_ORDER_CODE
            self.is_over = not may_reset
            return self._end(Stale(str(reply), may_reset), unread=self._unread_after_mail)
        return self._refused(Stage.MAIL, reply, unread=self._unread_after_mail)

    @property
    def _unread_after_mail(self) -> int:
        return len(self.recipients) + bool(self._data_command)

    def _next_rcpt(self) -> bytes:
        address = self.recipients[len(self._results)]
        return self._write(b"RCPT TO:<%b>\r\n" % address.encode())

    def _rcpt_answered(self, reply: Reply) -> bytes:
        recipients, results = self.recipients, self._results
        address = recipients[len(results)]
        if reply.code // 100 == 2:
            self._is_taken_by_rcpt = True
        else:
            if verdict(Stage.RCPT, reply) in _SESSION_VERDICTS:
                return self._refused(Stage.RCPT, reply, unread=0)
            if reply.code == CLOSING_CODE:
                rest = recipients[len(results) :]
                results += [recipient_result(each, reply) for each in rest]
                return self._refused(Stage.RCPT, reply, unread=0)
            if self._is_out_of_order(reply):
                return b""
            if self._is_taken_by_rcpt and is_recipient_limit(reply):
                self.left.append(address)
        results.append(recipient_result(address, reply))
        if len(results) < len(recipients):
            return b"" if self._is_ahead else self._next_rcpt()
        if self._is_taken_by_rcpt:
            self.stage = Stage.DATA
            return self._recipients_taken()
        self.is_settled = True
        return self._end(all_refused(results), unread=int(bool(self._data_command)))

    def _recipients_taken(self) -> bytes:
        return b"" if self._is_ahead else self._write(_DATA)

    def _is_out_of_order(self, reply: Reply) -> bool:
        """Return whether pipelined commands arrived out of order; if so, lose the session.

        Such a reply says nothing about the message.
        """
        if self._is_ahead and reply.code == OUT_OF_ORDER_CODE:
            self.lose(f"{self.stage} refused: {reply}")
            return True
        return False

    def _data_answered(self, reply: Reply) -> bytes:
        if verdict(Stage.DATA, reply) is not Verdict.ACCEPTED:
            if self._is_out_of_order(reply):
                return b""
            return self._refused(Stage.DATA, reply, unread=0)
        return self._begin_message(body_of(self.envelope.message))

    def _begin_message(self, body: Body) -> bytes:
        """Return the first part of the message to write."""
        self._phase_ends()
        self._phase = "data"
        self.envelope.dialogue.append(self.envelope.message.size)
        self.owed += 1
        self._body = body
        part = self.more()
        if self._body is not None:
            # Not a word was said about a message of which a part is out already.
            self._is_ahead = False
        return part

    def _answered_early(self, reply: Reply) -> bytes:
        """End a transaction that the server refused in the middle of the message.

        The message therefore has no end.
        """
        self.is_over = True
        if verdict(Stage.END_OF_DATA, reply) is Verdict.ACCEPTED:
            self.lose(f"the server answered before the end of data: {reply}")
            return b""
        return self._refused(Stage.END_OF_DATA, reply, unread=0)

    def _end_answered(self, reply: Reply) -> bytes:
        if reply.code // 100 == 2:
            self._phase_ends()
            results = self._results
            if self.left:
                results = [result for result in results if result.address not in self.left]
            self.outcome = sent(results, reply)
            self.is_done = self.is_settled = True
            return b""
        return self._refused(Stage.END_OF_DATA, reply, unread=0)

    def _refused(self, stage: Stage, reply: Reply, *, unread: int) -> bytes:
        """End with the answer for the message as a whole."""
        judgement = verdict(stage, reply)
        if judgement is Verdict.UNEXPECTED:
            self.lose(f"unexpected reply: {reply}")
            return b""
        return self._end(self._refusal(stage, reply, judgement), unread=unread)

    def _refusal(self, stage: Stage, reply: Reply, judgement: Verdict) -> Outcome:
        if reply.code == CLOSING_CODE or judgement is Verdict.ACCOUNT:
            self.is_over = True
        return message_refused(stage, reply, self._results)

    def _end(self, outcome: Outcome | Stale, *, unread: int) -> bytes:
        """End the transaction; ``unread`` replies to commands sent ahead follow.

        The last of these replies is to DATA.
        """
        self.outcome = outcome
        self._phase_ends()
        self.needs_reset = not self.is_over
        if self.is_over or not self._is_ahead or not unread:
            self.is_done = True
        else:
            self._draining = unread
            self._is_taken_by_rcpt = False
        return b""

    def _drained(self, reply: Reply) -> bytes:
        """Read what answers the commands that were sent ahead of a refusal."""
        self._draining -= 1
        is_accepted = reply.code // 100 == 2
        if self._draining:
            self._is_taken_by_rcpt |= is_accepted
            return b""
        if verdict(Stage.DATA, reply) is Verdict.ACCEPTED and self.stage is not Stage.END_OF_DATA:
            if self._is_taken_by_rcpt:
                # No recipient must get an empty mail; only a lost connection prevents it now.
                self.is_over = self.is_done = True
                return b""
            # RFC 2920 section 3.1: a server may ask for a message that has no recipient.
            self.stage = Stage.END_OF_DATA
            self._draining = 1
            return self._write(_EMPTY_MESSAGE)
        self.is_done = True
        return b""

    def _broken(self, reason: str) -> Outcome | Stale:
        if self.stage is Stage.END_OF_DATA:
            return unanswered(f"uncertain: {reason} after the end of data", self._results)
        if self.is_reused and not self._is_answered:
            return Stale(reason)
        if self._is_ahead:
            self.broke_over = "pipelining"
        return Deferred(f"{reason} (at {self.stage})")
