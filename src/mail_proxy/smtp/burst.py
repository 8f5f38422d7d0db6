"""Mail after mail on one session, driven by the server's replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mail_proxy.domain.outcome import Deferred, Outcome, RecipientStatus, Sent, Uncertain
from mail_proxy.smtp.bdat import BdatTransaction
from mail_proxy.smtp.bdat_stream import StreamedBdatTransaction
from mail_proxy.smtp.capabilities import Capabilities, Extension
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.envelope import Burst, Envelope, Withdrawn
from mail_proxy.smtp.replies import Reply
from mail_proxy.smtp.session import SmtpSession
from mail_proxy.smtp.streamed import UnreadableError
from mail_proxy.smtp.transaction import Observe, Stale, Transaction, observe_nothing

#: A server that takes longer than this to forget a message is not worth keeping.
_RESET_SECONDS = 5.0
#: The largest message that is sent before the server has agreed to take it: what TCP carries
#: within a round trip or two, so that more would gain little and might be sent in vain.
_MOST_BDAT_OCTETS = 65536


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds that a session waits for its server.

    ``open`` bounds each step up to the log-in, ``command`` the wait for each reply,
    ``end_of_data`` the wait for the answer to the whole message (RFC 5321 section 4.5.3.2 asks
    for patience there: giving up leaves it uncertain), ``send`` the transaction as a whole.
    """

    open: float = 30.0
    command: float = 60.0
    end_of_data: float = 300.0
    send: float = 300.0


class BurstRun:
    """Carries the mails of a burst over a session, until there are no more.

    It ends too after anything unusual, and when ``may_go_on`` says so. Then ``is_done`` is set.
    If the server pipelines, a message and the next envelope go out together (RFC 2920).

    ``returned`` are mails that cost no attempt here, because the session ended before the server
    had begun with them: they may go over another session. ``broke_over`` is the extension that
    the server seems to fail with.
    """

    def __init__(
        self,
        session: SmtpSession,
        burst: Burst,
        timeouts: Timeouts,
        usable: Capabilities,
        *,
        may_go_on: Callable[[], bool],
        may_use_bdat: bool = True,
        observe: Observe = observe_nothing,
    ) -> None:
        """``usable`` are the capabilities that the server has not failed with.

        ``may_use_bdat``: the session is known to be alive, so that a message may go out before
        the server has said a word.
        """
        self.is_done = False
        self.returned: list[Envelope] = []
        self.broke_over: Extension | None = None
        self._session = session
        self._burst = burst
        self._timeouts = timeouts
        self._usable = usable
        self._may_go_on = may_go_on
        self._observe = observe
        self._may_use_bdat = may_use_bdat and usable.chunking and usable.pipelining
        self._may_follow = usable.pipelining and usable.burst and not self._may_use_bdat
        self._is_ending = False
        self._was_reset = False
        self._current: Transaction | None = None
        self._following: Transaction | None = None
        #: The transaction that was sent with the message before it, when its turn has come.
        self._sent_ahead: Transaction | None = None
        #: The mail that RSET makes room for.
        self._after_reset: Envelope | None = None

    @property
    def is_sending(self) -> bool:
        """True if a large message waits for ``send_more``."""
        return self._current is not None and self._current.is_sending

    def start(self, returned: Sequence[Envelope] = ()) -> None:
        """Begin the burst. If ``returned`` has mails of another session, send only these."""
        self._is_ending = bool(returned)
        transaction = None
        for envelope in returned:
            if self._burst.may_begin(envelope):
                transaction = self._transaction(envelope)
            else:
                withdraw(self._burst, envelope)
        if not returned:
            transaction = self._next_transaction(is_first=True)
        if transaction is None:
            self._end()
        elif self._session.broken is None:
            self._session.handler = self
            self._begin(transaction)
        else:
            self._current = transaction
            self.lose(self._session.broken, is_written=False)

    def receive(self, reply: Reply) -> None:
        """Take the reply to the oldest command that has none."""
        transaction = self._current
        assert transaction is not None
        data = transaction.receive(reply)
        if data:
            self._session.send(data, transaction.owed)
            transaction.owed = 0
            if transaction.is_unanswered:
                self._follow(transaction)
        elif transaction.is_done:
            self._current = None
            self._finished(transaction)

    def set_deadline(self) -> None:
        transaction = self._current
        if transaction is None:
            return
        session, until = self._session, transaction.deadline
        if not transaction.is_sending:
            timeouts = self._timeouts
            wait = timeouts.end_of_data if transaction.is_unanswered else timeouts.command
            until = min(until, session.time() + wait)
        session.deadline = until

    def has_more(self, on_ready: Callable[[], None]) -> bool:
        """Return whether ``send_more`` has a part; else call ``on_ready`` once it has."""
        return self._current is not None and self._current.has_more(on_ready)

    def send_more(self) -> None:
        """Write the next part of a large message; called while the transport takes more.

        A file that cannot be read ends the session, so that the message has no end.
        """
        transaction = self._current
        if transaction is not None and transaction.is_sending:
            try:
                self._session.send(transaction.more(), 0)
            except UnreadableError as error:
                self._session.lose(str(error))
                return
            if transaction.is_unanswered:
                self._follow(transaction)
            self.set_deadline()

    def lose(self, reason: str, *, is_written: bool) -> None:
        """Report what the end of the session means for its mails."""
        transaction, self._current = self._current, None
        self._is_ending = True
        if transaction is not None:
            is_unheard = transaction is self._sent_ahead and transaction.outcome is None
            transaction.lose(reason, is_written=is_written)
            if self._following is not None or (
                is_unheard and isinstance(transaction.outcome, Stale)
            ):
                # It may also have dropped what followed a message, and wait for it.
                self.broke_over = "burst"
            self.broke_over = transaction.broke_over or self.broke_over
            if isinstance(transaction.outcome, Stale) and not transaction.is_reused:
                transaction.outcome = Deferred(f"{reason} (at {transaction.stage})")
            rest = self._report(transaction)
            if rest is not None:
                self.returned.append(rest)
        following, self._following = self._following, None
        if following is not None:
            self.returned.append(following.envelope)
        if self._after_reset is not None:
            self.returned.append(self._after_reset)
        self._end()

    def break_off(self, reason: str) -> None:
        """End the session at once, as the proxy wants it.

        A message whose end is out is uncertain. Mails that no server can have got are not reported.
        """
        transaction = self._current
        is_open = transaction is not None and transaction.outcome is None
        if transaction is not None and is_open and not transaction.is_unanswered:
            self._current = None
            self.returned.append(transaction.envelope)
        self._session.lose(reason)
        for envelope in self.returned:
            if envelope.results:
                self._burst.done(envelope, envelope.concluded(Deferred(reason)))
        self.returned = []

    def _begin(self, transaction: Transaction) -> None:
        self._current = transaction
        transaction.deadline = self._session.time() + self._timeouts.send
        self._session.send(transaction.start(), transaction.owed)
        transaction.owed = 0
        self.set_deadline()

    def _follow(self, transaction: Transaction) -> None:
        """Send the next envelope right behind a message."""
        is_last = len(transaction.envelope.pending) == len(transaction.recipients)
        if not self._may_follow or transaction.left or not is_last:
            return
        following = self._next_transaction()
        if following is not None:
            self._following = following
            self._session.send(following.start(), following.owed)
            following.owed = 0

    def _next_transaction(self, *, is_first: bool = False) -> Transaction | None:
        burst, session = self._burst, self._session
        while is_first or (not self._is_ending and self._may_go_on()):
            is_first = False
            envelope = burst.next()
            if envelope is None:
                return None
            refusal = session.capabilities.refusal(
                envelope.mail_from, envelope.recipients, envelope.message
            )
            if refusal is None:
                return self._transaction(envelope)
            session.transactions += 1
            burst.done(envelope, refusal)
        return None

    def _transaction(self, envelope: Envelope) -> Transaction:
        session = self._session
        kind = self._kind_for(envelope.message)
        is_reused = session.transactions > 0
        session.transactions += 1
        limit = session.most_recipients
        return kind(
            envelope, self._usable, self._observe, most_recipients=limit, is_reused=is_reused
        )

    def _kind_for(self, message: ComposedMail) -> type[Transaction]:
        if message.rest is not None:
            return StreamedBdatTransaction if self._usable.chunking else Transaction
        is_small = len(message.data) <= _MOST_BDAT_OCTETS
        return BdatTransaction if self._may_use_bdat and is_small else Transaction

    def _finished(self, transaction: Transaction) -> None:
        self.broke_over = transaction.broke_over or self.broke_over
        outcome = transaction.outcome
        if not isinstance(outcome, Sent):
            self._is_ending = True
            if isinstance(outcome, Uncertain) and self._following is not None:
                self.broke_over = "burst"
        rest = self._report(transaction)
        if transaction.is_over:
            if rest is not None:
                self.returned.append(rest)
            self._session.lose("closed")
        elif self._following is not None:
            following, self._following = self._following, None
            self._current = self._sent_ahead = following
            following.restart_clock(self._session.time() + self._timeouts.send)
        elif transaction.needs_reset:
            self._after_reset = rest
            self._session.ask(b"RSET\r\n", _RESET_SECONDS, self._reset_answered)
        else:
            self._go_on(rest)

    def _reset_answered(self, reply: Reply) -> None:
        if reply.code // 100 != 2:
            self._session.lose(f"RSET refused: {reply}")
            return
        rest, self._after_reset = self._after_reset, None
        self._go_on(rest)

    def _go_on(self, rest: Envelope | None) -> None:
        """Send the rest of a mail, or the next one."""
        if rest is not None and self._is_exhausted():
            self.returned.append(rest)
            self._is_ending = True
            rest = None
        transaction = self._next_transaction() if rest is None else self._transaction(rest)
        if transaction is None:
            self._end()
        else:
            self._begin(transaction)

    def _is_exhausted(self) -> bool:
        most = self._session.capabilities.most_transactions
        return most is not None and self._session.transactions >= most

    def _report(self, transaction: Transaction) -> Envelope | None:
        """Hand on the outcome, or return the mail where it needs another transaction here."""
        envelope, outcome = transaction.envelope, transaction.outcome
        assert outcome is not None
        if isinstance(outcome, Stale):
            if outcome.may_reset and not transaction.is_over and not self._was_reset:
                self._was_reset = True
                return envelope
            transaction.is_over = True
            self.returned.append(envelope)
            return None
        if transaction.is_settled and self._settles(transaction, outcome):
            return envelope
        self._burst.done(envelope, envelope.concluded(outcome))
        return None

    def _settles(self, transaction: Transaction, outcome: Outcome) -> bool:
        """Settle the recipients of a transaction; return whether others are left.

        False if it had all of them, or if the message was deferred; then nothing is settled.
        """
        envelope = transaction.envelope
        if len(transaction.recipients) == len(envelope.pending) and not transaction.left:
            return False
        if isinstance(outcome, Sent):
            taken = [r for r in outcome.recipients if r.status is RecipientStatus.SENT]
            if transaction.left:
                known = self._session.most_recipients or len(taken)
                self._session.most_recipients = min(known, len(taken))
            envelope.settle(outcome.recipients, Reply(outcome.code, outcome.response))
            return True
        if isinstance(outcome, Deferred):
            return False
        assert not isinstance(outcome, Stale)
        envelope.settle(getattr(outcome, "recipients", ()), None)
        return True

    def _end(self) -> None:
        self.is_done = True
        self._session.handler = None
        if self._session.broken is None:
            self._session.deadline = float("inf")


def withdraw(burst: Burst, envelope: Envelope) -> None:
    """Report a mail that came back from a session and must not begin on another."""
    if envelope.results:
        burst.done(envelope, envelope.concluded(Deferred("withdrawn before the rest was sent")))
    else:
        burst.done(envelope, Withdrawn())
