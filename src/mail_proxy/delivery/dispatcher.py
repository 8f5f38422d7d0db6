"""Claim due messages in a loop and hand them to the lanes, while the lease holds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from mail_proxy.config import ProxyConfig
from mail_proxy.delivery.claiming import Claimer
from mail_proxy.delivery.facts import OutcomesRecorded
from mail_proxy.delivery.lanes import Lanes
from mail_proxy.delivery.lease import Lease
from mail_proxy.domain.message import MessageState
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.clock import Clock
from mail_proxy.kit.service import seconds_until
from mail_proxy.kit.wakeup import Wakeup
from mail_proxy.kit.worker import Worker
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.telemetry.log import Action, log

#: After ``shutdown_timeout``, for the outcomes of the mails that were aborted.
_LAST_WRITES_SECONDS = 5.0


class Dispatcher:
    """The loop of one delivering process; any number of them may share a database."""

    def __init__(
        self,
        db: SqlDb,
        directory: Directory,
        lease: Lease,
        claimer: Claimer,
        lanes: Lanes,
        bell: Wakeup,
        config: ProxyConfig,
        clock: Clock,
    ) -> None:
        """``bell`` wakes the loop; the lanes ring it too, when they run low."""
        self._db = db
        self._directory = directory
        self._lease = lease
        self._claimer = claimer
        self._lanes = lanes
        self._bell = bell
        self._timing = config.timing
        self._test_mode = config.test_mode
        self._clock = clock
        #: Version of the directory that the lanes follow.
        self._known = -1
        self._looked_at = 0.0
        self._idle: float | None = None if self._test_mode else 0.0
        self._lease_bell = Wakeup()
        self._workers = (
            Worker("dispatcher", self._step),
            Worker("lease", self._keep_lease),
            Worker("lease.watch", self._watch_lease),
        )

    @property
    def alive(self) -> bool:
        """True if the dispatcher's loops run and its lease allows sending."""
        return all(worker.alive for worker in self._workers) and self._lease.valid

    async def start(self) -> None:
        """Take the lease and begin to deliver. Raises DatabaseUnavailable."""
        await self._lease.keep()
        for worker in self._workers:
            worker.start()

    def messages_added(self, account_pks: Collection[str]) -> None:
        """Look at these accounts now: messages were added for them."""
        self._claimer.due_accounts.mark(account_pks)
        self._lanes.note_more(account_pks)
        self._bell.ring()

    def wake(self) -> None:
        """Look at all accounts now: messages of any of them may have become due."""
        self._claimer.due_accounts.mark_all()
        self._lanes.note_more()
        self._bell.ring()

    def outcomes_recorded(self, fact: OutcomesRecorded) -> None:
        """Look at accounts whose messages are due again; work out the idle time again.

        A round may have looked for messages of a later due time before this commit, so it has not
        seen these.
        """
        deferred = [c for c in fact.changes if c.state == MessageState.DEFERRED]
        if deferred:
            now = self._clock.now()
            self._claimer.due_accounts.mark({c.account_pk for c in deferred if c.due_at <= now})
            self._bell.ring()

    def clock_set_back(self) -> None:
        """Discard cached due times after the wall clock was set back."""
        self._lanes.forget_limits()
        if not self._test_mode:
            self.wake()

    async def stop(self, deadline: float) -> None:
        """Finish messages in flight by ``deadline`` and release the rest to the queue."""
        dispatching, *leasing = self._workers
        await dispatching.stop()
        self._lanes.drop_waiting()
        try:
            async with asyncio.timeout(seconds_until(deadline)):
                await self._lanes.finish()
        except TimeoutError:
            log(Action.DISPATCHER_CUT_SHORT)
            await self._cut_short()
        for worker in leasing:
            await worker.stop()  # not before: the messages being sent have to stay ours
        try:
            await self._lease.give_up()
        except DatabaseUnavailable as error:
            log(Action.DISPATCHER_NOT_HANDED_BACK, reason=error.message)

    async def _cut_short(self) -> None:
        self._lanes.cancel()
        try:
            async with asyncio.timeout(_LAST_WRITES_SECONDS):
                await self._lanes.finish()
        except TimeoutError:
            # The database is away: the mails of these outcomes will be sent again.
            log(Action.DISPATCHER_UNRECORDED)

    async def _keep_lease(self) -> None:
        await self._lease_bell.wait(self._lease.next_step_seconds)
        is_lost = not self._lease.valid
        if is_lost:
            self._lanes.break_off()
            await self._lanes.finish()
        rescued = await self._lease.keep(reacquire=is_lost)
        if (rescued or is_lost) and not self._test_mode:
            self.wake()  # the aborted messages are due again

    async def _watch_lease(self) -> None:
        """Break off when the lease ends, even if ``_keep_lease`` waits for the database."""
        await asyncio.sleep(self._lease.next_step_seconds)
        if not self._lease.valid:
            self._lanes.break_off()

    async def _step(self) -> None:
        if await self._bell.wait(self._idle) or not self._test_mode:
            # In test mode the rounds that follow a call see only the messages due at its time.
            self._looked_at = self._clock.now()
        self._idle = 0.0  # also if the round fails
        if not await self._round(self._looked_at):
            self._idle = await self._idle_seconds(self._looked_at)
            self._claimer.due_accounts.idle(self._idle or 0.0)

    async def _round(self, now: float) -> bool:
        """Claim once; return True if it is worth claiming again at once."""
        if not self._lease.valid:
            return False
        snapshot = self._directory.snapshot
        if snapshot.version > self._known:
            # The directory is shared with the API, which may have seen the change first.
            await self._lanes.renew(snapshot)
            self._known = snapshot.version
        claim = await self._claimer.next(
            self._db, self._lease.dispatcher_id, snapshot, self._lanes.capacity(), now
        )
        if claim.version != snapshot.version:
            await self._directory.at_least(claim.version)
            return True
        await self._lanes.take_over(snapshot, claim)
        if claim.rejected or claim.unseen:
            return True
        # Lanes that have enough for now ask again when they run low.
        waiting = claim.full - claim.limited.keys()
        return bool(claim.messages) and self._lanes.any_runs_low(waiting)

    async def _idle_seconds(self, looked_at: float) -> float | None:
        """Return the time until a message may be sent that could not at ``looked_at``.

        At most ``send_loop_interval``. None in test mode: until a caller asks.
        """
        if self._test_mode:
            return None
        longest = self._timing.send_loop_interval
        due_at = await self._db.read(self._claimer.next_due_at, looked_at)
        moments = (self._lanes.next_admission_at, due_at)
        nearest = min((m for m in moments if m is not None), default=looked_at + longest)
        return min(longest, max(0.0, nearest - self._clock.now()))
