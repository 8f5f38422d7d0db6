"""Keeps claiming what is due and handing it to the lanes; sends, and has outcomes recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery import outcome_log
from mail_proxy.delivery.claiming import Capacity, Claim, Claimer
from mail_proxy.delivery.fair_budget import FairBudget
from mail_proxy.delivery.fair_semaphore import FairSemaphore
from mail_proxy.delivery.health import AccountHealth
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.lease import Lease
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.delivery.outcome_metrics import OutcomeMetrics
from mail_proxy.delivery.pipeline import Pipeline
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.delivery.settlement import Settlement
from mail_proxy.domain.account import Account
from mail_proxy.domain.message import MessageState
from mail_proxy.domain.outcome import AccountTrouble, Deferred, Outcome, Uncertain
from mail_proxy.domain.tenant import Tenant
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker, as_value
from mail_proxy.smtp.envelope import Withdrawn
from mail_proxy.smtp.sender import CancelledAfterEndOfData
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory, Snapshot
from mail_proxy.sql.messages.queue import ClaimedMessage, StateChange
from mail_proxy.sql.tables import Tables
from mail_proxy.telemetry.log import Action, log

_MOST_CLAIMED = 2000
_MOST_CLAIMED_BYTES = 100_000_000
#: Messages that end in one transaction because their account has been away for too long.
_OVERDUE_AT_ONCE = 500
#: After ``shutdown_timeout``, for the outcomes of what was broken off.
_LAST_WRITES_SECONDS = 5.0


class Dispatcher:
    """One for each delivering process; any number may share a database."""

    def __init__(
        self,
        db: SqlDb,
        tables: Tables,
        directory: Directory,
        pipeline: Pipeline,
        config: ProxyConfig,
        counts: OutcomeMetrics,
        clock: Clock,
        events_added: Callable[[], None],
    ) -> None:
        self._db = db
        self._tables = tables
        self._directory = directory
        self._pipeline = pipeline
        self._config = config
        self._counts = counts
        self._clock = clock
        self._logs_outcomes = config.log_delivery_activity
        self._settlement = Settlement(config.retry_strategy, config.retry.on_uncertain)
        limiter = RateLimiter(tables.rate_use, directory)
        self._recorder = OutcomeRecorder(db, tables.queue, limiter, self._recorded)
        self._health = AccountHealth(tables, self._recorder)
        self._events_added = events_added
        self._lease = Lease(db, tables.queue, limiter, clock, config.timing.lease_seconds)
        self._claimer = Claimer(tables)
        self._lanes: dict[str, Lane] = {}
        self._slots = FairSemaphore(config.concurrency.max_concurrent_sends)
        self._limited_until: dict[str, float] = {}
        #: Version of the directory that the lanes follow.
        self._known = -1
        self._looked_at = 0.0
        self._idle: float | None = None if config.test_mode else 0.0
        self._bell = Wakeup()
        self._lease_bell = Wakeup()
        self._workers = (
            Worker("dispatcher", self._step),
            Worker("lease", self._keep_lease),
            Worker("lease.watch", self._watch_lease),
        )

    @property
    def alive(self) -> bool:
        """Whether it runs and may send."""
        return all(worker.alive for worker in self._workers) and self._lease.valid

    async def start(self) -> None:
        """Take the lease and begin to deliver. Raises DatabaseUnavailable."""
        await self._lease.keep()
        for worker in self._workers:
            worker.start()

    def messages_added(self, account_pks: Collection[str]) -> None:
        """These accounts have got messages."""
        self._claimer.lookout.tell(account_pks)
        for pk in account_pks:
            if pk in self._lanes:
                self._lanes[pk].may_have_more = True
        self._bell.ring()

    def wake(self) -> None:
        """There may be something due now, wherever."""
        self._claimer.lookout.tell_all()
        for lane in self._lanes.values():
            lane.may_have_more = True
        self._bell.ring()

    def clock_set_back(self) -> None:
        """What this process knows of times to come holds no longer."""
        self._limited_until.clear()
        if not self._config.test_mode:
            self.wake()

    async def stop(self) -> None:
        """Finish what is in flight within ``shutdown_timeout``, hand back the rest."""
        dispatching, *leasing = self._workers
        await dispatching.stop()
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.drop_waiting()
        try:
            async with asyncio.timeout(self._config.timing.shutdown_timeout):
                await self._finished(lanes)
        except TimeoutError:
            log(Action.DISPATCHER_CUT_SHORT)
            await self._cut_short(lanes)
        for worker in leasing:
            await worker.stop()  # not before: what is in flight has to stay ours
        try:
            await self._lease.give_up()
        except DatabaseUnavailable as error:
            log(Action.DISPATCHER_NOT_HANDED_BACK, reason=error.message)

    async def _finished(self, lanes: Sequence[Lane]) -> None:
        """Return once nothing is in flight and what became of it is written."""
        await asyncio.gather(*(lane.finish() for lane in lanes))
        await self._recorder.drained()

    async def _cut_short(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            lane.cancel()
        try:
            async with asyncio.timeout(_LAST_WRITES_SECONDS):
                await self._finished(lanes)
        except TimeoutError:
            # The database is away: the mails of these outcomes will be sent again.
            log(Action.DISPATCHER_UNRECORDED)

    async def _keep_lease(self) -> None:
        await self._lease_bell.wait(self._lease.next_step_seconds)
        is_lost = not self._lease.valid
        if is_lost:
            self._break_off()
            await self._finished(list(self._lanes.values()))
        if await self._lease.keep(anew=is_lost) and not self._config.test_mode:
            self.wake()

    async def _watch_lease(self) -> None:
        """Beside ``_keep_lease``, which may be waiting for the database when the lease ends."""
        await asyncio.sleep(self._lease.next_step_seconds)
        if not self._lease.valid:
            self._break_off()

    def _break_off(self) -> None:
        """Others may take over: what is being sent just now must not arrive twice."""
        for lane in self._lanes.values():
            lane.drop_waiting()
            lane.cancel()

    async def _step(self) -> None:
        if await self._bell.wait(self._idle) or not self._config.test_mode:
            # In test mode the rounds that follow a call see only what was due when it came.
            self._looked_at = self._clock.now()
        self._idle = 0.0  # also where the round fails
        if not await self._round(self._looked_at):
            self._idle = await self._idle_seconds(self._looked_at)
            self._claimer.lookout.rest(self._idle or 0.0)

    async def _round(self, now: float) -> bool:
        """Claim once; True when it is worth claiming again at once."""
        if not self._lease.valid:
            return False
        snapshot = self._directory.snapshot
        if snapshot.version > self._known:
            # Whoever has seen the change first: the directory is shared with the API.
            await self._renew_lanes(snapshot)
            self._known = snapshot.version
        claim = await self._claimer.next(
            self._db, self._lease.dispatcher_id, snapshot, self._capacity(), now
        )
        if claim.version != snapshot.version:
            await self._directory.at_least(claim.version)
            return True
        self._take_over(snapshot, claim)
        for message in claim.rejected:
            change = self._settlement.give_up(message, "rate_limit_exceeded", self._clock.now())
            await self._record(message, change)
        if claim.rejected or claim.unseen:
            return True
        if not claim.messages:
            return False
        # Lanes that have enough for now ask again when they run low.
        waiting = claim.full - claim.limited.keys()
        lanes = [self._lanes.get(pk) for pk in waiting]
        return any(lane is None or lane.runs_low for lane in lanes)

    def _take_over(self, snapshot: Snapshot, claim: Claim) -> None:
        for pk in {*claim.limited, *(m.account_pk for m in claim.rejected)}:
            account = snapshot.accounts[pk]
            self._counts.limited(pk, account.tenant_id)
        now = self._clock.now()
        self._limited_until = {pk: t for pk, t in self._limited_until.items() if t > now}
        self._limited_until.update(claim.limited)
        for message in claim.messages:
            lane = self._lane(snapshot, message.account_pk)
            lane.probing = message.account_pk in claim.probes
            lane.add(message)
        for pk, lane in self._lanes.items():
            lane.supplied(may_have_more=pk in claim.full and pk not in claim.limited)

    def _capacity(self) -> Capacity:
        messages, octets = FairBudget(_MOST_CLAIMED), FairBudget(_MOST_CLAIMED_BYTES)
        for pk, lane in self._lanes.items():
            messages.take(pk, lane.account.tenant_id, lane.load)
            octets.take(pk, lane.account.tenant_id, lane.size)
        return Capacity(
            rooms={pk: lane.room for pk, lane in self._lanes.items()},
            messages=messages,
            octets=octets,
            limited_until=dict(self._limited_until),
        )

    async def _idle_seconds(self, looked_at: float) -> float | None:
        """Until something may be sent that could not at ``looked_at``, at most the safety poll.

        In test mode None: until somebody asks.
        """
        if self._config.test_mode:
            return None
        longest = self._config.timing.send_loop_interval
        moments = [*self._limited_until.values(), await self._db.read(self._next_due, looked_at)]
        nearest = min((m for m in moments if m is not None), default=looked_at + longest)
        return min(longest, max(0.0, nearest - self._clock.now()))

    def _next_due(self, connection: Connection, looked_at: float) -> float | None:
        moments = [self._tables.queue.next_due_at(connection, looked_at)]
        moments += [row["retry_at"] for row in self._tables.health.troubled(connection).values()]
        return min((m for m in moments if m is not None and m > looked_at), default=None)

    def _lane(self, snapshot: Snapshot, account_pk: str) -> Lane:
        lane = self._lanes.get(account_pk)
        if lane is None:
            account = snapshot.accounts[account_pk]
            lane = Lane(account, self._send, self._bell.ring, self._clock)
            self._lanes[account_pk] = lane
        return lane

    async def _renew_lanes(self, snapshot: Snapshot) -> None:
        """Tenants or accounts have changed: what was claimed and not begun is judged anew."""
        self._limited_until.clear()
        for pk, lane in list(self._lanes.items()):
            account = snapshot.accounts.get(pk)
            if account is None:
                await self._end_lane(lane)
                if lane.load == 0:
                    del self._lanes[pk]
                continue
            lane.account = account
            stopped = lane.drop_waiting(partial(_is_suspended, snapshot.tenants[account.tenant_id]))
            if stopped:
                await self._recorder.write_until_done(self._tables.queue.release, stopped)

    async def _end_lane(self, lane: Lane) -> None:
        now = self._clock.now()
        for message in lane.drop_waiting():
            await self._record(message, self._settlement.give_up(message, "account deleted", now))

    async def _send(self, lane: Lane, message: ClaimedMessage) -> None:
        fault = await as_value(self._deliver(lane, message))
        if fault is not None:
            # A fault of ours must neither lose the message nor keep it claimed for good.
            outcome_log.log_fault(lane.account.id, message, fault)
            failed = Deferred("internal error")
            await self._record(message, self._settlement.settle(message, failed, self._clock.now()))

    async def _deliver(self, lane: Lane, message: ClaimedMessage) -> None:
        account = lane.account
        outcome = await self._attempt(account, message)
        if isinstance(outcome, Withdrawn):
            await self._withdraw(message)
        elif outcome is not None:
            await self._finish(lane, account, message, outcome)

    def _may_begin(self, message: ClaimedMessage) -> bool:
        """Asked at the last moment: opening a session may take minutes."""
        if not self._is_ours(message) or message.has_expired(self._clock.now()):
            return False
        tenant = self._directory.snapshot.tenants.get(message.tenant_id)
        return tenant is not None and not _is_suspended(tenant, message)

    def _is_ours(self, message: ClaimedMessage) -> bool:
        return self._lease.valid and message.claimed_by == self._lease.dispatcher_id

    async def _withdraw(self, message: ClaimedMessage) -> None:
        now = self._clock.now()
        if not self._is_ours(message):
            return  # others may send it now
        if message.has_expired(now):
            await self._record(message, self._settlement.give_up(message, "expired", now))
        else:
            await self._recorder.write_until_done(self._tables.queue.release, [message])

    async def _attempt(
        self, account: Account, message: ClaimedMessage
    ) -> Outcome | Withdrawn | None:
        """None: it was not sent, and goes back to the queue with all that is claimed."""
        may_begin = partial(self._may_begin, message)
        try:
            slot = await self._slots.acquire(account.tenant_id, account.pk)
            try:
                if not may_begin():
                    return Withdrawn()
                return await self._pipeline.deliver(account, message, may_begin)
            finally:
                self._slots.release(slot)
        except CancelledAfterEndOfData:
            # By ``stop`` or a lost lease. What came of it has to be recorded all the same.
            return Uncertain("uncertain: broken off by the proxy after the end of data")
        except asyncio.CancelledError:
            return None

    async def _finish(
        self, lane: Lane, account: Account, message: ClaimedMessage, outcome: Outcome
    ) -> None:
        if isinstance(outcome, AccountTrouble):
            if not lane.crowded(message):
                await self._account_trouble(lane, account, message, outcome)
            return
        lane.worked()
        now = self._clock.now()
        # First of all: whatever goes wrong below must not cost the mail a second copy.
        await self._record(message, self._settlement.settle(message, outcome, now))
        if lane.probing:
            lane.probing = False
            fault = await as_value(self._health.heal(account))
            if fault is not None:
                outcome_log.log_fault(account.id, message, fault)
            self.wake()

    async def _account_trouble(
        self, lane: Lane, account: Account, message: ClaimedMessage, trouble: AccountTrouble
    ) -> None:
        now = self._clock.now()
        probe, lane.probing = lane.probing, False
        row = await self._health.pause(account, trouble, now, probe=probe)
        messages = (message, *lane.drop_waiting())
        if row is None:
            await self._recorder.write_until_done(self._tables.queue.release, messages)
            self.wake()
            return
        outcome_log.log_paused(account, trouble, row["retry_at"] - now)
        for waiting in messages:
            change = self._settlement.wait_for_account(
                waiting, trouble, row["retry_at"], row["since_at"], now
            )
            await self._record(waiting, change)
        cutoff = now - self._settlement.longest_wait_seconds
        if row["since_at"] <= cutoff:
            overdue = (account.pk, trouble.reason, cutoff, now, _OVERDUE_AT_ONCE)
            while ended := await self._recorder.write_until_done(
                self._tables.given_up.overdue, *overdue
            ):
                self._counts.given_up(account.pk, account.tenant_id, ended)

    async def _record(self, message: ClaimedMessage, change: StateChange) -> None:
        if self._logs_outcomes:
            account = self._directory.snapshot.accounts.get(message.account_pk)
            outcome_log.log_outcome(account.id if account else "", message, change)
        await self._recorder.record(change)

    def _recorded(self, changes: Sequence[StateChange]) -> None:
        self._counts.count(changes)
        self._events_added()
        if any(change.state == MessageState.DEFERRED for change in changes):
            self._bell.ring()  # the next attempt may be the first thing that is due


def _is_suspended(tenant: Tenant, message: ClaimedMessage) -> bool:
    return not tenant.sends(message.batch_code)
