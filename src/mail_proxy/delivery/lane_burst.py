"""The messages of a lane that one worker sends over one SMTP session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any

from mail_proxy.delivery import outcome_log
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.permit import SendPermit
from mail_proxy.delivery.pipeline import Outgoing, Pipeline
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Outcome
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import value_of
from mail_proxy.smtp.envelope import Envelope, Withdrawn
from mail_proxy.sql.messages.queue import ClaimedMessage

#: A burst ends after so many seconds: its slot and its session are for others too.
_LONGEST_SECONDS = 0.5
_FAULT = Deferred("internal error")
#: Characters of a stored message from which its attempt is counted before it begins. If it takes so
#: much memory or time that the process dies, it must not come round for ever. Smaller ones cannot.
_COUNTED_AHEAD = 1_000_000

Ending = AccountTrouble | Withdrawn


class LaneBurst:
    """Gives a session one message after the other, and records each outcome at once.

    Nothing here waits, so the burst ends at the first message that needs to wait for something:
    its preparation is in ``preparing``, outcomes that have to be acted on are in ``endings``.
    It ends too when another account waits for the slot, or too many outcomes are unrecorded.
    """

    def __init__(
        self,
        lane: Lane,
        pipeline: Pipeline,
        permit: SendPermit,
        settlement: Settlement,
        recorder: OutcomeRecorder,
        clock: Clock,
    ) -> None:
        self.preparing: tuple[Outgoing, Coroutine[Any, Any, Outcome | None]] | None = None
        self.endings: list[tuple[ClaimedMessage, Ending]] = []
        self.written: asyncio.Future[bool] | None = None
        self.probed_by: ClaimedMessage | None = None
        self.is_healed = False
        self._lane = lane
        self._pipeline = pipeline
        self._permit = permit
        self._settlement = settlement
        self._recorder = recorder
        self._clock = clock
        self._first: Envelope | None = None
        self._in_hand: dict[Envelope, ClaimedMessage] = {}
        self._until = 0.0
        self._is_open = True

    @property
    def is_ready(self) -> bool:
        """True if the first message is prepared."""
        return self._first is not None

    def admit(self, message: ClaimedMessage) -> None:
        """Send ``message`` first, if it can be prepared without waiting."""
        self._first = self._prepared(message)

    def admit_prepared(self, outgoing: Outgoing, result: Outcome | Exception | None) -> None:
        """Put a prepared message first; ``result`` is the result of its preparation."""
        if result is None:
            self._first = self._envelope(outgoing)
        elif isinstance(result, Exception):
            self.fail(outgoing.message, result)
        else:
            self.settle(outgoing.message, result, is_answer=False)

    def next(self) -> Envelope | None:
        """Return the next message to send, prepared."""
        if self._first is not None:
            # The slot and the session are there; waiting for them does not count.
            self._until = asyncio.get_running_loop().time() + _LONGEST_SECONDS
            first, self._first = self._first, None
            if self.may_begin(first):
                return first
            self.done(first, Withdrawn())
        if not self._is_open or self._is_wanted_elsewhere():
            return None
        message = self._lane.take()
        if message is None:
            return None
        return self._prepared(message)

    def may_begin(self, envelope: Envelope) -> bool:
        """Return whether the server may be asked to take a message now."""
        return self._permit.may_begin(self._in_hand[envelope])

    def done(self, envelope: Envelope, outcome: Outcome | Withdrawn) -> None:
        """Take the outcome of a message."""
        self.settle(self._in_hand.pop(envelope), outcome)

    def settle(
        self, message: ClaimedMessage, outcome: Outcome | Withdrawn, *, is_answer: bool = True
    ) -> None:
        """Have the outcome of a message recorded, or keep it for the courier to act on.

        ``is_answer``: a server was asked, so the outcome says that the account works.
        """
        self._lane.done(message)
        if isinstance(outcome, AccountTrouble | Withdrawn):
            self._is_open = False
            self.endings.append((message, outcome))
            return
        if is_answer:
            self._lane.answered()
        fault = value_of(self._record, message, outcome)
        if fault is not None:
            self.defer(message, fault)
        if self._lane.end_probe():
            self._is_open = False
            self.probed_by = message
            self.is_healed = is_answer

    def close(self, fault: Exception | None) -> None:
        """Defer the messages without outcome when sending ended or failed (``fault``)."""
        while self._in_hand:
            envelope, message = self._in_hand.popitem()
            outcome: Outcome = _FAULT
            if envelope.results:
                # Recipients who have the mail must not get it again.
                outcome = envelope.concluded(outcome)
            self.fail(message, fault or RuntimeError("sent without an outcome"), outcome)

    def release(self) -> None:
        """Release the messages without outcome after a cancellation.

        The lease returns their claims.
        """
        while self._in_hand:
            envelope, message = self._in_hand.popitem()
            if envelope is self._first:
                self._lane.done(message)  # never begun
            else:
                self.break_off(message)
        if self.preparing is not None:
            (outgoing, preparation), self.preparing = self.preparing, None
            preparation.close()
            self._lane.done(outgoing.message)

    def break_off(self, message: ClaimedMessage) -> None:
        """Release a message that was begun; count its attempt if the lease was lost."""
        self._lane.done(message)
        if not self._permit.is_ours(message):
            change = self._settlement.broken_off(message, self._clock.now())
            self.written = self._recorder.submit(message, change)

    def fail(self, message: ClaimedMessage, fault: Exception, outcome: Outcome = _FAULT) -> None:
        """Defer a message after an error in the proxy itself."""
        self._is_open = False
        self._lane.done(message)
        self.defer(message, fault, outcome)

    def defer(self, message: ClaimedMessage, fault: Exception, outcome: Outcome = _FAULT) -> None:
        """Record an error in the proxy itself as the outcome of a message.

        The message must neither be lost nor stay claimed for ever.
        """
        outcome_log.log_fault(self._lane.account.id, message, fault)
        self._record(message, outcome)

    def _is_wanted_elsewhere(self) -> bool:
        return (
            self._recorder.is_full
            or self._pipeline.slots.is_wanted
            or asyncio.get_running_loop().time() >= self._until
        )

    def _prepared(self, message: ClaimedMessage) -> Envelope | None:
        tenant = self._permit.tenant(message)
        if tenant is None or not self._permit.may_begin(message):
            self.settle(message, Withdrawn())
            return None
        if self._settlement.is_exhausted(message):
            reason = self._settlement.exhausted("the service ended during the attempt")
            self.settle(message, Failed(reason), is_answer=False)
            return None
        outgoing = Outgoing(self._lane.account, tenant, message)
        ended = value_of(self._pipeline.prepare, outgoing)
        if ended is None:
            return self._envelope(outgoing)
        self._is_open = False
        if isinstance(ended, Exception):
            self.fail(message, ended)
        elif isinstance(ended, Outcome):
            self.settle(message, ended, is_answer=False)
        else:
            is_risky = len(message.content) > _COUNTED_AHEAD
            self.preparing = outgoing, self._counted(message, ended) if is_risky else ended
        return None

    async def _counted(
        self, message: ClaimedMessage, preparation: Awaitable[Outcome | None]
    ) -> Outcome | None:
        await self._recorder.begin(message)
        return await preparation

    def _envelope(self, outgoing: Outgoing) -> Envelope:
        composed = outgoing.composed
        assert composed is not None, "a step sets it"
        envelope = Envelope(outgoing.envelope_sender, outgoing.recipients, composed)
        if outgoing.refused:
            envelope.settle(outgoing.refused, None)
        self._in_hand[envelope] = outgoing.message
        return envelope

    def _record(self, message: ClaimedMessage, outcome: Outcome) -> None:
        change = self._settlement.settle(
            message, outcome, self._clock.now(), is_pec=self._lane.account.is_pec
        )
        self.written = self._recorder.submit(message, change)
