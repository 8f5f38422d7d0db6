"""Group commit of outcomes: many state changes a transaction, none dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mail_proxy.delivery.facts import OutcomesRecorded
from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.delivery.outcome_log import OutcomeLog
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.batching import Batcher
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.worker import as_value
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.queue import ClaimedMessage, MessageQueue, StateChange
from mail_proxy.telemetry.log import Action, log
from mail_proxy.telemetry.troubles import Troubles

Result = TypeVar("Result")
_MOST_A_COMMIT = 512
#: An outcome that is not on disk is a mail that a crash would send twice: keep them few.
_MOST_UNRECORDED = 100
_RETRY_SECONDS = 1.0
_WRITING = "outcomes"


class OutcomeRecorder:
    """Writes state changes in groups; publishes ``OutcomesRecorded`` after a commit."""

    def __init__(
        self,
        db: SqlDb,
        queue: MessageQueue,
        limiter: RateLimiter,
        outcome_log: OutcomeLog,
        bus: Bus,
    ) -> None:
        self._db = db
        self._queue = queue
        self._limiter = limiter
        self._outcome_log = outcome_log
        self._bus = bus
        self._troubles = Troubles()
        self._batcher: Batcher[StateChange, bool] = Batcher("outcomes", self._flush, _MOST_A_COMMIT)

    @property
    def is_full(self) -> bool:
        """True if too many outcomes are unrecorded for the next mail to begin."""
        return len(self._batcher) > _MOST_UNRECORDED

    async def settle(self, message: ClaimedMessage, change: StateChange) -> None:
        """Log the outcome of ``message`` and have it written.

        Waits for the commit only if ``is_full``, so most outcomes are recorded while the next
        mail is already being sent.
        """
        written = self.submit(message, change)
        if self.is_full:
            await written

    def submit(self, message: ClaimedMessage, change: StateChange) -> asyncio.Future[bool]:
        """Log an outcome and have it written; the future is done afterwards."""
        self._outcome_log.log_outcome(message, change)
        return self._batcher.submit(change)

    async def begin(self, message: ClaimedMessage) -> None:
        """Count an attempt before it begins.

        Its outcome, or ``give_back``, corrects the count.
        """
        await self.write_until_done(self._queue.begin, message)

    async def give_back(self, messages: Sequence[ClaimedMessage]) -> None:
        """Return claimed messages to the queue as they were, without an outcome."""
        await self.write_until_done(self._queue.release, messages)

    async def drained(self) -> None:
        """Wait until every outcome is written."""
        await self._batcher.drained()

    async def write_until_done(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Run ``SqlDb.write`` and repeat it until the database is available."""
        while True:
            try:
                result = await self._db.write(work, *arguments)
                break
            except DatabaseUnavailable as error:
                # The mails are out; their outcomes must be kept until they can be written.
                if self._troubles.is_due(_WRITING):
                    log(Action.OUTCOME_WAITS, reason=error.message)
                await asyncio.sleep(_RETRY_SECONDS)
        seconds = self._troubles.end(_WRITING)
        if seconds is not None:
            log(Action.OUTCOME_WRITTEN, seconds=seconds)
        return result

    async def _flush(self, changes: Sequence[StateChange]) -> Sequence[bool]:
        pks = await self._write(changes)
        if len(pks) < len(changes):
            log(Action.OUTCOME_LOST_CLAIM, messages=len(changes) - len(pks))
        if pks:
            self._bus.publish(OutcomesRecorded([c for c in changes if c.pk in pks]))
        return [change.pk in pks for change in changes]

    async def _write(self, changes: Sequence[StateChange]) -> set[str]:
        """Write all changes that can be written; a bad one does not spoil the others."""
        result = await as_value(self.write_until_done(self._record, changes))
        if isinstance(result, set):
            return result
        if len(changes) == 1:
            _log_fault(changes[0], result)
            return set()
        half = len(changes) // 2
        first = await self._write(changes[:half])
        return first | await self._write(changes[half:])

    def _record(self, connection: Connection, changes: Sequence[StateChange]) -> set[str]:
        written = self._queue.record(connection, changes)
        attempts = [(c.account_pk, c.tenant_id, c.state_at) for c in changes if c.attempted]
        self._limiter.count(connection, attempts)
        return written


def _log_fault(change: StateChange, error: Exception) -> None:
    log(
        Action.OUTCOME_FAULT,
        exception=error,
        tenant_id=change.tenant_id,
        message_pk=change.pk,
        status=change.state,
    )
