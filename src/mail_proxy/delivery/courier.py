"""Carries one claimed message to its server and its outcome to the recorder."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from mail_proxy.delivery import outcome_log
from mail_proxy.delivery.health import AccountHealth
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.permit import SendPermit
from mail_proxy.delivery.pipeline import Outgoing, Pipeline
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.account import Account
from mail_proxy.domain.outcome import AccountTrouble, Deferred, Failed, Outcome, Uncertain
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import as_value
from mail_proxy.smtp.sender import Withdrawn
from mail_proxy.smtp.transaction import CancelledAfterEndOfData
from mail_proxy.sql.messages.queue import ClaimedMessage

#: Characters of a stored message from which its attempt is counted before it begins. If it takes so
#: much memory or time that the process dies, it must not come round for ever. Smaller ones cannot.
_COUNTED_AHEAD = 1_000_000


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """Outcome of an attempt that ended because the dispatcher had lost its lease."""


class Courier:
    """Delivers the messages of all lanes, one attempt each."""

    def __init__(
        self,
        permit: SendPermit,
        pipeline: Pipeline,
        settlement: Settlement,
        recorder: OutcomeRecorder,
        health: AccountHealth,
        clock: Clock,
    ) -> None:
        self._permit = permit
        self._pipeline = pipeline
        self._settlement = settlement
        self._recorder = recorder
        self._health = health
        self._clock = clock

    async def carry(self, lane: Lane, message: ClaimedMessage) -> None:
        """Attempt ``message`` once and have its outcome recorded. Raises nothing.

        An error in the proxy itself defers the message: it must neither be lost nor stay
        claimed for ever.
        """
        fault = await as_value(self._carry(lane, message))
        if fault is not None:
            outcome_log.log_fault(lane.account.id, message, fault)
            failed = Deferred("internal error")
            change = self._settlement.settle(message, failed, self._clock.now())
            await self._recorder.settle(message, change)

    async def _carry(self, lane: Lane, message: ClaimedMessage) -> None:
        account = lane.account
        outcome = await self._attempt(account, message)
        if isinstance(outcome, Withdrawn):
            await self._withdraw(message)
        elif isinstance(outcome, BrokenOff):
            change = self._settlement.broken_off(message, self._clock.now())
            await self._recorder.settle(message, change)
        elif isinstance(outcome, AccountTrouble):
            if not lane.crowded(message):
                await self._health.pause(lane, account, message, outcome, self._clock.now())
        else:
            await self._finish(lane, account, message, outcome)

    async def _attempt(
        self, account: Account, message: ClaimedMessage
    ) -> Outcome | Withdrawn | BrokenOff:
        """Return the outcome, also of an attempt that was aborted before the end of data.

        At a stop the message goes back to the queue as it was.
        """
        tenant = self._permit.tenant(message)
        if tenant is None:
            return Withdrawn()
        if self._settlement.is_exhausted(message):
            return Failed(self._settlement.exhausted("the service ended during the attempt"))
        if len(message.content) > _COUNTED_AHEAD:
            await self._recorder.begin(message)
        outgoing = Outgoing(account, tenant, message)
        try:
            return await self._pipeline.deliver(outgoing, partial(self._permit.may_begin, message))
        except CancelledAfterEndOfData:
            # The server may have taken the mail, so an outcome has to be recorded all the same.
            return Uncertain("uncertain: broken off by the proxy after the end of data")
        except asyncio.CancelledError:
            return Withdrawn() if self._permit.is_ours(message) else BrokenOff()

    async def _withdraw(self, message: ClaimedMessage) -> None:
        """Give up an expired message; return a suspended one to the queue."""
        now = self._clock.now()
        if not self._permit.is_ours(message):
            return  # another dispatcher may send it now
        if message.has_expired(now):
            change = self._settlement.give_up(message, "expired", now)
            await self._recorder.settle(message, change)
        else:
            await self._recorder.give_back([message])

    async def _finish(
        self, lane: Lane, account: Account, message: ClaimedMessage, outcome: Outcome
    ) -> None:
        lane.answered()
        change = self._settlement.settle(message, outcome, self._clock.now())
        # First of all: a fault in what follows must not cost the mail a second copy.
        await self._recorder.settle(message, change)
        if lane.end_probe():
            fault = await as_value(self._health.heal(account))
            if fault is not None:
                outcome_log.log_fault(account.id, message, fault)
