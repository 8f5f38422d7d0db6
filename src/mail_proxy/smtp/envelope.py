"""One mail on its way to a server: envelope, message, and answers so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mail_proxy.domain.outcome import (
    AccountTrouble,
    Deferred,
    Outcome,
    RecipientResult,
    RecipientStatus,
    Sent,
    Uncertain,
)
from mail_proxy.smtp.compose import ComposedMail
from mail_proxy.smtp.replies import Reply, sent
from mail_proxy.smtp.transcript import Entry


@dataclass(slots=True, eq=False)
class Envelope:
    """Envelope of a mail, which may take several transactions and sessions.

    ``pending`` are the recipients that still need an answer, ``results`` the answers of
    transactions that are over, ``taken`` the reply to the last message that was accepted.
    ``dialogue`` is what both sides said; ``transcript.render`` makes it readable.
    """

    mail_from: str
    recipients: Sequence[str]
    message: ComposedMail
    pending: Sequence[str] = ()
    results: list[RecipientResult] = field(default_factory=list)
    taken: Reply | None = None
    dialogue: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pending = self.recipients

    def settle(self, results: Sequence[RecipientResult], taken: Reply | None) -> None:
        """Add the answers of a transaction. Its recipients are not pending any more."""
        self.results += results
        self.taken = taken or self.taken
        answered = {result.address for result in results}
        self.pending = [address for address in self.pending if address not in answered]

    def concluded(self, outcome: Outcome) -> Outcome:
        """Return ``outcome``, of the last transaction, for the whole mail.

        Recipients that were served or refused in earlier transactions keep their answers; those
        that were never asked share the answer that ended the mail.
        """
        if not self.results:
            # A mail of one transaction; recipients beyond it, if any, share its answer.
            if isinstance(outcome, AccountTrouble | Sent) or not outcome.recipients:
                return outcome
            if len(outcome.recipients) == len(self.recipients):
                return outcome
        merged = self._in_order([*self.results, *self._last_results(outcome)])
        match outcome:
            case Uncertain(reason):
                return Uncertain(reason, merged)
            case Sent():
                return Sent(merged, outcome.code, outcome.response)
        if self.taken is not None:
            return sent(merged, self.taken)
        match outcome:
            case AccountTrouble():
                return outcome
            case Deferred(reason, code):
                return Deferred(reason, code, merged)
        # A permanent refusal holds for the recipients without a reply, and for no others.
        if any(result.status is RecipientStatus.DEFERRED for result in merged):
            return Deferred(outcome.reason, outcome.code, merged)
        return type(outcome)(outcome.reason, outcome.code, merged)

    def _last_results(self, outcome: Outcome) -> list[RecipientResult]:
        results = [] if isinstance(outcome, AccountTrouble) else list(outcome.recipients)
        code = None if isinstance(outcome, Uncertain) else outcome.code
        reason = outcome.response if isinstance(outcome, Sent) else outcome.reason
        is_hopeful = isinstance(outcome, AccountTrouble | Deferred | Uncertain)
        status = RecipientStatus.DEFERRED if is_hopeful else RecipientStatus.FAILED
        answered = {result.address for result in results}
        results += [
            RecipientResult(address, status, code, reason)
            for address in self.pending
            if address not in answered
        ]
        return results

    def _in_order(self, results: Sequence[RecipientResult]) -> tuple[RecipientResult, ...]:
        if len(results) == 1:
            return tuple(results)
        by_address = {result.address: result for result in results}
        return tuple([by_address[address] for address in dict.fromkeys(self.recipients)])


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Result of a mail that was withdrawn before the server was asked about it."""


class Burst(Protocol):
    """Mails that one SMTP session carries, one after the other.

    All methods return at once.
    """

    def next(self) -> Envelope | None:
        """Return the next mail, which may begin now, or None to end the burst."""

    def may_begin(self, envelope: Envelope) -> bool:
        """Return whether a mail of a session that ended may begin on another session."""

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        """Take the outcome of a mail, each exactly once."""


class SingleMail:
    """Burst of a single mail.

    ``may_begin`` is called when a session is open. ``outcome`` is None until the mail is done.
    """

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
