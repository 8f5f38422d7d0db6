"""Writing outcomes down: many in one transaction, and never giving up on one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from mail_proxy.errors import DatabaseUnavailable
from mail_proxy.kit.batching import Batcher
from mail_proxy.kit.worker import caught
from mail_proxy.sql import SqlDb
from mail_proxy.sql.tables.queue import MessageQueue, StateChange

_log = logging.getLogger("mail_proxy.delivery")
_MOST_A_COMMIT = 512
#: Every outcome that is not on disk is a mail that a crash would double: keep them few.
_MOST_UNRECORDED = 200
_RETRY_SECONDS = 1.0


class OutcomeRecorder:
    """Group commit of state changes."""

    def __init__(
        self, db: SqlDb, queue: MessageQueue, recorded: Callable[[Sequence[StateChange]], None]
    ) -> None:
        """``recorded`` is called with what was written, after the commit."""
        self._db = db
        self._queue = queue
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
        written = [change for change in changes if change.pk in pks]
        if len(written) < len(changes):
            _log.warning("action=outcome.lost_claim messages=%d", len(changes) - len(written))
        self._recorded(written)
        return [change.pk in pks for change in changes]

    async def _write(self, changes: Sequence[StateChange]) -> set[str]:
        """Write all that can be written; one that cannot does not take the others along."""
        while True:
            result = await caught(self._db.write(self._queue.record, changes))
            if isinstance(result, set):
                return result
            if isinstance(result, DatabaseUnavailable):
                # The mails are out; what became of them must be kept until it can be written.
                _log.warning("action=outcome.wait messages=%d reason=%s", len(changes), result)
                await asyncio.sleep(_RETRY_SECONDS)
            elif len(changes) == 1:
                _log.error("action=outcome.fault change=%s", changes[0], exc_info=result)
                return set()
            else:
                half = len(changes) // 2
                first = await self._write(changes[:half])
                return first | await self._write(changes[half:])
