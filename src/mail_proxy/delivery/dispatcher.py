"""Finds what is due, claims it fairly, and hands it to the lanes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.lane import Lane
from mail_proxy.delivery.lease import Lease
from mail_proxy.delivery.outcomes import Settlement
from mail_proxy.delivery.pipeline import Pipeline
from mail_proxy.delivery.recorder import OutcomeRecorder
from mail_proxy.domain.message import MessageState, Priority
from mail_proxy.domain.outcome import AccountTrouble, Deferred, Outcome
from mail_proxy.domain.tenant import EVERYTHING, Tenant
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker, caught
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.directory import Directory, Snapshot
from mail_proxy.sql.tables.instance import directory_version
from mail_proxy.sql.tables.queue import ClaimedMessage, MessageQueue, StateChange
from mail_proxy.telemetry.metrics import MailMetrics

_log = logging.getLogger("mail_proxy.delivery")
_MOST_CLAIMED = 2000
_MOST_CLAIMED_BYTES = 64_000_000
#: What may be claimed on top for priority 0, whatever else is buffered.
_URGENT_LIMIT = 50


@dataclass(frozen=True)
class _Claim:
    """What one round brought. ``full`` are accounts that may have more that is due."""

    messages: list[ClaimedMessage]
    full: set[str]
    version: int


class Dispatcher:
    """One for each delivering process; any number may share a database."""

    def __init__(
        self,
        db: SqlDb,
        queue: MessageQueue,
        directory: Directory,
        pipeline: Pipeline,
        config: ProxyConfig,
        metrics: MailMetrics,
        clock: Clock,
        events_added: Callable[[], None],
    ) -> None:
        self._db = db
        self._queue = queue
        self._directory = directory
        self._pipeline = pipeline
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._events_added = events_added
        self._settlement = Settlement(config.retry_strategy, config.retry.on_uncertain)
        self._recorder = OutcomeRecorder(db, queue, self._recorded)
        self._lease = Lease(db, queue, clock, config.timing.lease_seconds)
        self._lanes: dict[str, Lane] = {}
        self._slots = asyncio.Semaphore(config.concurrency.max_concurrent_sends)
        self._claimed_bytes = 0
        self._turn = 0
        self._idle: float | None = None if config.test_mode else 0.0
        self._bell = Wakeup()
        self._lease_bell = Wakeup()
        self._workers = (Worker("dispatcher", self._step), Worker("lease", self._keep_lease))

    @property
    def alive(self) -> bool:
        """Whether it runs and may send."""
        return all(worker.alive for worker in self._workers) and self._lease.valid

    async def start(self) -> None:
        """Take the lease and begin to deliver. Raises DatabaseUnavailable."""
        await self._lease.keep()
        for worker in self._workers:
            worker.start()

    def wake(self) -> None:
        """There may be something due now."""
        for lane in self._lanes.values():
            lane.may_have_more = True
        self._bell.ring()

    async def stop(self) -> None:
        """Finish what is in flight within ``shutdown_timeout``, hand back the rest."""
        for worker in self._workers:
            await worker.stop()
        for lane in self._lanes.values():
            lane.drop_waiting()
        try:
            async with asyncio.timeout(self._config.timing.shutdown_timeout):
                await asyncio.gather(*(lane.finish() for lane in self._lanes.values()))
        except TimeoutError:
            _log.warning("action=dispatcher.cut_short reason=shutdown_timeout")
            for lane in self._lanes.values():
                lane.cancel()
            await asyncio.gather(*(lane.finish() for lane in self._lanes.values()))
        await self._recorder.drained()
        try:
            await self._lease.give_up()
        except DatabaseUnavailable as error:
            _log.warning("action=dispatcher.not_handed_back reason=%s", error)

    async def _keep_lease(self) -> None:
        await self._lease_bell.wait(self._lease.renewal_seconds)
        if await self._lease.keep() and not self._config.test_mode:
            self._bell.ring()

    async def _step(self) -> None:
        await self._bell.wait(self._idle)
        self._idle = 0.0  # also where the round fails
        now = self._clock.now()
        if await self._round(now) == 0:
            self._idle = await self._idle_seconds(now)

    async def _round(self, now: float) -> int:
        if not self._lease.valid:
            return 0
        snapshot = self._directory.snapshot
        found = await self._db.write(self._claim, snapshot, now)
        if found.version > snapshot.version:
            snapshot = await self._directory.at_least(found.version)
            self._renew_lanes(snapshot)
        for message in found.messages:
            self._claimed_bytes += message.size
            account = snapshot.accounts.get(message.account_pk)
            if account is None:
                await self._record(
                    message, self._settlement.give_up(message, "account deleted", self._clock.now())
                )
            else:
                lane = self._lane(snapshot, message.account_pk)
                lane.may_have_more = message.account_pk in found.full
                lane.add(message)
        return len(found.messages)

    async def _idle_seconds(self, looked_at: float) -> float | None:
        """Until the next message is due that was not at ``looked_at``, at most the safety poll.

        In test mode None: until somebody asks.
        """
        if self._config.test_mode:
            return None
        idle = self._config.timing.send_loop_interval
        for lane in self._lanes.values():
            if lane.resumes_in is not None:
                # One that is being probed rings when it is done.
                idle = min(idle, lane.resumes_in or idle)
            elif lane.room == 0:
                return idle
        next_due = await self._db.read(self._next_due, looked_at)
        if next_due is None:
            return idle
        return min(idle, max(0.0, next_due - self._clock.now()))

    def _next_due(self, connection: Connection, looked_at: float) -> float | None:
        accounts = self._queue.waiting_accounts(connection)
        return self._queue.next_due_at(connection, accounts, looked_at)

    def _claim(self, connection: Connection, snapshot: Snapshot, now: float) -> _Claim:
        """Runs on a database thread: reads lanes, changes nothing of this object."""
        version = directory_version(connection)
        waiting = self._queue.waiting_accounts(connection)
        claimed: list[ClaimedMessage] = []
        full: set[str] = set()
        left = _MOST_CLAIMED - sum(lane.load for lane in tuple(self._lanes.values()))
        for priority in Priority:
            room = self._rooms(snapshot, waiting, priority, claimed)
            if not room or left <= 0:
                continue
            limit = max(1, min(max(room.values()), left // len(room)))
            accounts = self._in_turn(room)[: max(1, left)]
            found = self._queue.due(connection, accounts, priority, now, limit)
            taken = self._fitting(found, room)
            full |= {pk for pk in accounts if sum(m.account_pk == pk for m in found) >= limit}
            full |= {m.account_pk for m in found} if len(taken) < len(found) else set()
            claimed += taken
            left -= len(taken)
        if claimed:
            self._queue.claim(connection, self._lease.dispatcher_id, claimed)
        return _Claim(claimed, full, version)

    def _rooms(
        self,
        snapshot: Snapshot,
        waiting: Sequence[str],
        priority: Priority,
        claimed: Sequence[ClaimedMessage],
    ) -> dict[str, int]:
        """How many messages each account can take in this pass; accounts without room left out."""
        taken: dict[str, int] = {}
        for message in claimed:
            taken[message.account_pk] = taken.get(message.account_pk, 0) + 1
        rooms = {}
        for pk in waiting:
            account = snapshot.accounts.get(pk)
            if account is not None and _stands_still(snapshot.tenants[account.tenant_id]):
                continue
            lane = self._lanes.get(pk)
            room = _URGENT_LIMIT if lane is None else lane.room
            if priority is Priority.IMMEDIATE and lane is not None and lane.resumes_in is None:
                room = max(room, _URGENT_LIMIT)
            room -= taken.get(pk, 0)
            if room > 0:
                rooms[pk] = room
        return rooms

    def _in_turn(self, rooms: Mapping[str, int]) -> list[str]:
        """Accounts, beginning with another one each time."""
        accounts = list(rooms)
        self._turn += 1
        start = self._turn % len(accounts)
        return accounts[start:] + accounts[:start]

    def _fitting(
        self, found: Sequence[ClaimedMessage], rooms: Mapping[str, int]
    ) -> list[ClaimedMessage]:
        """Those that their lanes and the memory bound have room for; always at least one."""
        left = dict(rooms)
        size = self._claimed_bytes
        taken: list[ClaimedMessage] = []
        for message in found:
            if left[message.account_pk] <= 0:
                continue
            if size + message.size > _MOST_CLAIMED_BYTES and size > 0:
                break
            left[message.account_pk] -= 1
            size += message.size
            taken.append(message)
        return taken

    def _lane(self, snapshot: Snapshot, account_pk: str) -> Lane:
        lane = self._lanes.get(account_pk)
        if lane is None:
            account = snapshot.accounts[account_pk]
            lane = Lane(account, self._send, self._bell.ring, self._clock)
            self._lanes[account_pk] = lane
        return lane

    def _renew_lanes(self, snapshot: Snapshot) -> None:
        """Tenants or accounts have changed: a saved account is used at once, a removed one not."""
        for pk, lane in list(self._lanes.items()):
            account = snapshot.accounts.get(pk)
            if account is None:
                if lane.load == 0:
                    del self._lanes[pk]
            elif account.login.version != lane.account.login.version:
                lane.account = account
                lane.resume()

    async def _send(self, lane: Lane, message: ClaimedMessage) -> None:
        now = self._clock.now()
        try:
            if not self._lease.valid or message.claimed_by != self._lease.dispatcher_id:
                return  # others may send it now
            if message.expires_at is not None and message.expires_at <= now:
                await self._record(message, self._settlement.give_up(message, "expired", now))
                return
            async with self._slots:
                outcome = await caught(self._pipeline.deliver(lane.account, message))
            if isinstance(outcome, Exception):
                # A fault of ours must not keep the message from being tried again.
                _log.error("action=message.fault message=%s", message.id, exc_info=outcome)
                outcome = Deferred("internal error")
            await self._finish(lane, message, outcome)
        finally:
            self._claimed_bytes -= message.size

    async def _finish(self, lane: Lane, message: ClaimedMessage, outcome: Outcome) -> None:
        now = self._clock.now()
        if isinstance(outcome, AccountTrouble):
            await self._account_trouble(lane, [message, *lane.drop_waiting()], outcome, now)
            return
        lane.resume()
        await self._record(message, self._settlement.settle(message, outcome, now))

    async def _account_trouble(
        self,
        lane: Lane,
        messages: Sequence[ClaimedMessage],
        trouble: AccountTrouble,
        now: float,
    ) -> None:
        pause = lane.pause()
        _log.warning(
            "action=account.paused account=%s stage=%s pause=%.0fs reason=%s",
            lane.account.id,
            trouble.stage,
            pause,
            trouble.reason,
        )
        for message in messages:
            change = self._settlement.wait_for_account(message, trouble, now + pause, now)
            await self._record(message, change)

    async def _record(self, message: ClaimedMessage, change: StateChange) -> None:
        if self._config.log_delivery_activity:
            _log.info(
                "action=message.%s message=%s tenant=%s reason=%s",
                change.state,
                message.id,
                message.tenant_id,
                change.error,
            )
        self._count(message, change)
        await self._recorder.record(change)

    def _count(self, message: ClaimedMessage, change: StateChange) -> None:
        account = self._directory.snapshot.accounts.get(message.account_pk)
        counter = {
            MessageState.SENT: self._metrics.sent,
            MessageState.ERROR: self._metrics.errors,
            MessageState.DEFERRED: self._metrics.deferred,
        }[MessageState(change.state)]
        counter.labels(message.tenant_id, account.id if account else "").inc()

    def _recorded(self, changes: Sequence[StateChange]) -> None:
        if changes:
            self._events_added()
        if any(change.state == MessageState.DEFERRED for change in changes):
            self._bell.ring()  # the next attempt may be the first thing that is due


def _stands_still(tenant: Tenant) -> bool:
    return not tenant.active or EVERYTHING in tenant.suspended_batches
