"""A mail transaction in one packet: MAIL, RCPT, BDAT and the message (RFC 3030)."""

from __future__ import annotations

from time import perf_counter

from mail_proxy.domain.outcome import Deferred, Outcome, RecipientResult, RecipientStatus
from mail_proxy.smtp.replies import (
    CLOSING_CODE,
    OUT_OF_ORDER_CODE,
    Reply,
    Stage,
    Verdict,
    all_refused,
    ends_session,
    is_recipient_limit,
    recipient_result,
    verdict,
)
from mail_proxy.smtp.transaction import Stale, Transaction

#: What a server says to BDAT that offers CHUNKING and does not know it.
UNKNOWN_COMMAND_CODES = (500, 502, 504, OUT_OF_ORDER_CODE)


class BdatTransaction(Transaction):
    """BDAT transaction (RFC 3030): the message is sent before the first reply.

    The server may accept the message after any earlier replies. So all replies are read before the
    outcome is decided. Without the last reply the outcome is uncertain, unless an earlier one rules
    the message out.
    """

    _replies: tuple[Reply, ...] = ()

    def start(self) -> bytes:
        self._phase = "data"
        self._phase_began = perf_counter()
        data = self.envelope.message.data
        if not data.endswith(b"\r\n"):
            data = data + b"\r\n"
        rcpts = [b"RCPT TO:<%b>\r\n" % address.encode() for address in self.recipients]
        commands = b"".join((self._mail_command(), *rcpts, b"BDAT %d LAST\r\n" % len(data)))
        self.envelope.dialogue += (commands, len(data))
        self.owed += len(self.recipients) + 2
        self.stage = Stage.END_OF_DATA
        return commands + data

    def receive(self, reply: Reply) -> bytes:
        self.envelope.dialogue.append(reply)
        if len(self._replies) <= len(self.recipients):
            self._replies += (reply,)
            return b""
        ruled_out = self._ruled_out(is_lost=False)
        if self.is_done:
            return b""
        if ruled_out is None:
            return self._message_answered(reply)
        if verdict(Stage.END_OF_DATA, reply) is Verdict.ACCEPTED:
            self.is_over = True  # it took a message without sender or recipients
            if isinstance(ruled_out, Stale):
                self._uncertain(f"the server took what it had refused: {reply}")
                return b""
        return self._end(ruled_out, unread=0)

    def lose(self, reason: str, *, is_written: bool = True) -> None:
        if not is_written and not self._replies:
            self.outcome = Stale(reason)
            self.is_done = True
        if self.outcome is None:
            ruled_out = self._ruled_out(is_lost=True)
            if ruled_out is not None and not self.is_done:
                self._end(ruled_out, unread=0)
        if not self.is_done:
            self._uncertain(reason)
        self.is_over = True

    def _uncertain(self, reason: str) -> None:
        self.broke_over = "chunking"
        rest = self.recipients[len(self._results) :]
        self._results += [
            RecipientResult(address, RecipientStatus.DEFERRED, None, reason) for address in rest
        ]
        super().lose(reason)

    def _ruled_out(self, *, is_lost: bool) -> Outcome | Stale | None:
        """Return the outcome if no recipient is left to take the message for.

        That is what the replies to MAIL and RCPT decide. ``is_lost``: no further reply came.
        An unexpected reply ends the transaction.
        """
        if not self._replies:
            return None
        mail, *others = self._replies
        if verdict(Stage.MAIL, mail) is not Verdict.ACCEPTED:
            if self.is_reused and ends_session(mail):
                self.is_over = is_lost or mail.code != OUT_OF_ORDER_CODE
                return Stale(str(mail), may_reset=not self.is_over)
            return self._judged(Stage.MAIL, mail)
        self._results = []
        self.left = []
        for address, reply in zip(self.recipients, others, strict=False):
            if verdict(Stage.RCPT, reply) is Verdict.UNEXPECTED:
                self._uncertain(f"unexpected reply: {reply}")
                return None
            self._rcpt_judged(address, reply)
        closing = next((reply for reply in others if reply.code == CLOSING_CODE), None)
        if is_lost and closing is not None:
            rest = self.recipients[len(self._results) :]
            self._results += [recipient_result(address, closing) for address in rest]
            return self._judged(Stage.RCPT, closing)
        if len(self._results) < len(self.recipients) or self._is_taken_by_rcpt:
            return None
        for reply in others:
            if verdict(Stage.RCPT, reply) is Verdict.ACCOUNT:
                return self._judged(Stage.RCPT, reply)
        self.is_settled = True
        return all_refused(self._results)

    def _rcpt_judged(self, address: str, reply: Reply) -> None:
        result = recipient_result(address, reply)
        if result.status is RecipientStatus.SENT:
            self._is_taken_by_rcpt = True
        elif self._is_taken_by_rcpt and is_recipient_limit(reply):
            self.left.append(address)
        self._results.append(result)

    def _judged(self, stage: Stage, reply: Reply) -> Outcome | None:
        """Return the outcome of a refusal, or end the transaction over a senseless one."""
        judgement = verdict(stage, reply)
        if judgement is Verdict.UNEXPECTED:
            self._uncertain(f"unexpected reply: {reply}")
            return None
        return self._refusal(stage, reply, judgement)

    def _message_answered(self, last: Reply) -> bytes:
        if verdict(Stage.END_OF_DATA, last) is Verdict.ACCEPTED:
            return self._end_answered(last)
        if last.code in UNKNOWN_COMMAND_CODES:
            # The server has read the message as commands, so its state is unknown.
            self.is_over = True
            self.broke_over = "chunking"
            return self._end(Deferred(f"BDAT refused: {last}", last.code), unread=0)
        return self._refused(Stage.END_OF_DATA, last, unread=0)
