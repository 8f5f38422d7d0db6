"""The lanes of all accounts that this process sends for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial

from mail_proxy.delivery.claiming import Capacity, Claim
from mail_proxy.delivery.failure_shares import MOST_TRIALS, FailureShares
from mail_proxy.delivery.fair_budget import FairBudget
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.tenant import Tenant
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.sql.directory import Snapshot
from mail_proxy.sql.messages.queue import ClaimedMessage

#: Bounds of what one process holds, in messages and in bytes: memory, and how much is sent late
#: if the process dies.
_MOST_CLAIMED = 2000
_MOST_CLAIMED_BYTES = 100_000_000


class Lanes:
    """Distributes claims to lanes, and ends lanes whose account may not send.

    It also knows which accounts are at a rate limit, and until when.
    """

    def __init__(
        self,
        carry: Callable[[Lane, ClaimedMessage], Awaitable[None]],
        settlement: Settlement,
        recorder: OutcomeRecorder,
        metrics: OutcomeMetrics,
        clock: Clock,
        bell: Wakeup,
        failures: FailureShares,
    ) -> None:
        """``carry`` delivers one message; ``bell`` is rung when a lane runs low."""
        self._failures = failures
        self._carry = carry
        self._settlement = settlement
        self._recorder = recorder
        self._metrics = metrics
        self._clock = clock
        self._bell = bell
        self._lanes: dict[str, Lane] = {}
        self._limited_until: dict[str, float] = {}

    def note_more(self, account_pks: Collection[str] | None = None) -> None:
        """Note that these accounts, or with None all, may have due messages."""
        if account_pks is None:
            account_pks = self._lanes
        for pk in account_pks:
            if pk in self._lanes:
                self._lanes[pk].note_more()

    @property
    def next_admission_at(self) -> float | None:
        """When the next account may send that could not (Unix seconds), or None.

        It is at a rate limit, or too many accounts of its tenant have failed.
        """
        moments = [*self._limited_until.values(), self._failures.next_at]
        return min((moment for moment in moments if moment is not None), default=None)

    def forget_limits(self) -> None:
        """Ask the database again whether accounts are at their rate limits."""
        self._limited_until.clear()

    def capacity(self) -> Capacity:
        """Return how much this process can take, in all and for each account."""
        messages, octets = FairBudget(_MOST_CLAIMED), FairBudget(_MOST_CLAIMED_BYTES)
        for pk, lane in self._lanes.items():
            messages.take(pk, lane.account.tenant_id, lane.load)
            octets.take(pk, lane.account.tenant_id, lane.size)
        return Capacity(
            rooms={pk: lane.room for pk, lane in self._lanes.items()},
            messages=messages,
            octets=octets,
            limited_until=dict(self._limited_until),
            working=frozenset(pk for pk, lane in self._lanes.items() if lane.is_working),
            trials=self._trials(),
        )

    def _trials(self) -> dict[str, int]:
        """Return how many unproven accounts may be tried, by tenant; none: as usual."""
        trials = self._failures.spent()
        for lane in self._lanes.values():
            if lane.load and not lane.is_working:
                tenant_id = lane.account.tenant_id
                trials[tenant_id] = trials.get(tenant_id, MOST_TRIALS) - 1
        return trials

    async def take_over(self, snapshot: Snapshot, claim: Claim) -> None:
        """Hand claimed messages to their lanes, and end those that a rate limit rejects."""
        # Thousands of accounts that fail must not slow each round.
        self._lanes = {pk: lane for pk, lane in self._lanes.items() if not lane.is_forgettable}
        for pk in {*claim.limited, *(m.account_pk for m in claim.rejected)}:
            account = snapshot.accounts[pk]
            self._metrics.limited(pk, account.tenant_id)
        now = self._clock.now()
        self._limited_until = {pk: t for pk, t in self._limited_until.items() if t > now}
        self._limited_until.update(claim.limited)
        for message in claim.messages:
            lane = self._lane(snapshot, message.account_pk)
            lane.note_probe(is_probe=message.account_pk in claim.probes)
            lane.add(message)
        for pk, lane in self._lanes.items():
            lane.supplied(may_have_more=pk in claim.full and pk not in claim.limited)
        for message in claim.rejected:
            await self._give_up(message, "rate_limit_exceeded", self._clock.now())

    def any_runs_low(self, account_pks: Collection[str]) -> bool:
        """Return whether one of these accounts has a lane that runs low, or no lane yet."""
        lanes = [self._lanes.get(pk) for pk in account_pks]
        return any(lane is None or lane.runs_low for lane in lanes)

    async def renew(self, snapshot: Snapshot) -> None:
        """Check all claimed messages again after tenants or accounts have changed.

        Messages of removed accounts end in error, those of suspended tenants and batches go back
        to the queue. Messages that are being sent are left alone.
        """
        self.forget_limits()
        for pk, lane in list(self._lanes.items()):
            account = snapshot.accounts.get(pk)
            if account is None:
                await self._end(lane)
                if lane.load == 0:
                    del self._lanes[pk]
                continue
            lane.account = account
            stopped = lane.drop_waiting(partial(_is_suspended, snapshot.tenants[account.tenant_id]))
            if stopped:
                await self._recorder.give_back(stopped)

    def drop_waiting(self) -> None:
        """Begin no further message: the claims are given back by the lease."""
        for lane in self._lanes.values():
            lane.drop_waiting()

    def cancel(self) -> None:
        """Abort every message that is being sent."""
        for lane in self._lanes.values():
            lane.cancel()

    def break_off(self) -> None:
        """Stop everything: another dispatcher may take over, and no mail may go twice."""
        for lane in self._lanes.values():
            lane.drop_waiting()
            lane.cancel()

    async def finish(self) -> None:
        """Wait until nothing is being sent and every outcome is written."""
        await asyncio.gather(*(lane.finish() for lane in list(self._lanes.values())))
        await self._recorder.drained()

    def _lane(self, snapshot: Snapshot, account_pk: str) -> Lane:
        lane = self._lanes.get(account_pk)
        if lane is None:
            account = snapshot.accounts[account_pk]
            lane = Lane(account, self._carry, self._bell.ring, self._clock)
            self._lanes[account_pk] = lane
        return lane

    async def _end(self, lane: Lane) -> None:
        now = self._clock.now()
        for message in lane.drop_waiting():
            await self._give_up(message, "account deleted", now)

    async def _give_up(self, message: ClaimedMessage, reason: str, now: float) -> None:
        change = self._settlement.give_up(message, reason, now)
        await self._recorder.settle(message, change)


def _is_suspended(tenant: Tenant, message: ClaimedMessage) -> bool:
    return not tenant.sends(message.batch_code)
