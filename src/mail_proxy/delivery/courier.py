"""Carries claimed messages to their server and their outcomes to the recorder."""

from __future__ import annotations

from mail_proxy.delivery import outcome_log
from mail_proxy.delivery.health import AccountHealth
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.lane_burst import Ending, LaneBurst
from mail_proxy.delivery.permit import SendPermit
from mail_proxy.delivery.pipeline import Pipeline
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.account import Account
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.worker import as_value
from mail_proxy.smtp.envelope import Withdrawn
from mail_proxy.sql.messages.queue import ClaimedMessage


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
        """Attempt ``message``, and others of the lane behind it.

        It is cancelled if the lease was lost or the process stops. Every claim goes back to the
        queue then; a mail that may have been taken is recorded.
        """
        burst = self._burst(lane)
        burst.admit(message)
        following: LaneBurst | None = burst
        try:
            while following is not None:
                burst = following
                following = await self._carry(lane, burst)
        finally:
            burst.release()

    def _burst(self, lane: Lane) -> LaneBurst:
        return LaneBurst(
            lane, self._pipeline, self._permit, self._settlement, self._recorder, self._clock
        )

    async def _carry(self, lane: Lane, burst: LaneBurst) -> LaneBurst | None:
        """Send a burst; return the next one if a message of the lane waits to be prepared."""
        account = lane.account
        if burst.is_ready:
            burst.close(await as_value(self._pipeline.send(account, burst)))
        for message, ending in burst.endings:
            fault = await as_value(self._end(lane, account, message, ending))
            if fault is not None:
                burst.defer(message, fault)
        if burst.probed_by is not None:
            health = self._health
            end = (
                health.heal(account, self._clock.now())
                if burst.is_healed
                else health.probe_again(account, self._clock.now())
            )
            fault = await as_value(end)
            if fault is not None:
                outcome_log.log_fault(account.id, burst.probed_by, fault)
        if burst.written is not None and self._recorder.is_full:
            await burst.written
        return await self._following(lane, burst)

    async def _following(self, lane: Lane, burst: LaneBurst) -> LaneBurst | None:
        if burst.preparing is None:
            return None
        (outgoing, preparation), burst.preparing = burst.preparing, None
        is_prepared = False
        try:
            result = await as_value(preparation)
            is_prepared = True
        finally:
            if not is_prepared:
                burst.break_off(outgoing.message)
        following = self._burst(lane)
        following.admit_prepared(outgoing, result)
        return following

    async def _end(
        self, lane: Lane, account: Account, message: ClaimedMessage, ending: Ending
    ) -> None:
        if isinstance(ending, Withdrawn):
            await self._withdraw(message)
        elif ending.refuses_login or not lane.crowded(message, others_work=ending.others_work):
            await self._health.pause(lane, account, message, ending, self._clock.now())

    async def _withdraw(self, message: ClaimedMessage) -> None:
        """Give up an expired message or an orphan; return a suspended one to the queue."""
        now = self._clock.now()
        if not self._permit.is_ours(message):
            return  # another dispatcher may send it now
        reason = "expired" if message.has_expired(now) else None
        if reason is None and not self._permit.has_account(message):
            reason = "account deleted"
        if reason is None:
            await self._recorder.give_back([message])
        else:
            change = self._settlement.give_up(message, reason, now)
            await self._recorder.settle(message, change)
