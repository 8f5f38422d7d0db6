"""Writing outcomes down: many in one transaction, and never giving up on one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mail_proxy.delivery.limiter import RateLimiter
from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.batching import Batcher
from mail_proxy.kit.worker import as_value
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.messages.queue import MessageQueue, StateChange
from mail_proxy.telemetry.log import Action, log

Result = TypeVar("Result")
_MOST_A_COMMIT = 512
#: Every outcome that is not on disk is a mail that a crash would double: keep them few.
_MOST_UNRECORDED = 100
_RETRY_SECONDS = 1.0


class OutcomeRecorder:
    """Group commit of state changes."""

    def __init__(
        self,
        db: SqlDb,
        queue: MessageQueue,
        limiter: RateLimiter,
        recorded: Callable[[Sequence[StateChange]], None],
    ) -> None:
        """``recorded`` is called after each commit with the changes that it wrote."""
        self._db = db
        self._queue = queue
        self._limiter = limiter
        self._recorded = recorded
        self._batcher: Batcher[StateChange, bool] = Batcher("outcomes", self._flush, _MOST_A_COMMIT)

    async def record(self, change: StateChange) -> None:
        """Have the change written; waits only where too many others are not written yet."""
        written = self._batcher.submit(change)
        if len(self._batcher) > _MOST_UNRECORDED:
            await written

    async def drained(self) -> None:
        """Wait until everything is written."""
        await self._batcher.drained()

    async def _flush(self, changes: Sequence[StateChange]) -> Sequence[bool]:
        pks = await self._write(changes)
        if len(pks) < len(changes):
            log(Action.OUTCOME_LOST_CLAIM, messages=len(changes) - len(pks))
        if pks:
            self._recorded([change for change in changes if change.pk in pks])
        return [change.pk in pks for change in changes]

    async def write_until_done(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """``SqlDb.write`` that waits until the database is there again."""
        while True:
            try:
                return await self._db.write(work, *arguments)
            except DatabaseUnavailable as error:
                # The mails are out; what became of them must be kept until it can be written.
                log(Action.OUTCOME_WAITS, reason=error.message)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _write(self, changes: Sequence[StateChange]) -> set[str]:
        """Write all that can be written; one that cannot does not take the others along."""
        result = await as_value(self.write_until_done(self._record, changes))
        if isinstance(result, set):
            return result
        if len(changes) == 1:
            _tell_fault(changes[0], result)
            return set()
        half = len(changes) // 2
        first = await self._write(changes[:half])
        return first | await self._write(changes[half:])

    def _record(self, connection: Connection, changes: Sequence[StateChange]) -> set[str]:
        written = self._queue.record(connection, changes)
        attempts = [(c.account_pk, c.tenant_id, c.state_at) for c in changes if c.attempted]
        self._limiter.count(connection, attempts)
        return written


def _tell_fault(change: StateChange, error: Exception) -> None:
    log(
        Action.OUTCOME_FAULT,
        exception=error,
        tenant_id=change.tenant_id,
        message_pk=change.pk,
        status=change.state,
    )
