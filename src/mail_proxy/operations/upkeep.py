"""Operations on any number of messages: allowed and audited at once, done in many transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from mail_proxy.errors import Malformed
from mail_proxy.operations.access import Caller
from mail_proxy.operations.operation import Context, Door, Signals, operation
from mail_proxy.sql import SqlDb
from mail_proxy.sql.removal import Removal
from mail_proxy.sql.tables import Tables
from mail_proxy.wire.messages import CleanedOut, CleanupMessages, RetriedOut, RetryMessages

_SLICE = 1000


@dataclass(frozen=True)
class _Retry:
    """A retry that may be done; ``pks`` where single messages were named."""

    tenant_id: str
    batch_code: str | None
    pks: list[str]
    now: float


@dataclass(frozen=True)
class _Cleanup:
    """A removal that may be done, of what was reported before ``before``."""

    tenant_id: str
    before: float


@operation("messages.retry", mutates=True)
def retry(context: Context, request: RetryMessages) -> _Retry:
    """Permission to put messages in error back into the queue."""
    given = [name for name in ("ids", "batch_code") if getattr(request, name) is not None]
    if len(given) != 1:
        message = "give either this or the other" if given else "one of the two is required"
        detail = [
            {"field": name, "message": message, "value": None} for name in ("ids", "batch_code")
        ]
        raise Malformed(f"ids, batch_code: exactly one is needed, {len(given)} given", detail)
    pks = context.tables.failed.named(context.connection, context.tenant_id, request.ids or [])
    return _Retry(context.tenant_id, request.batch_code, pks, context.now)


@operation("messages.cleanup", mutates=True)
def cleanup(context: Context, request: CleanupMessages) -> _Cleanup:
    """Permission to remove finished messages that were reported long enough ago."""
    age = request.older_than_seconds
    if age is None:
        age = context.tables.tenants.get(context.connection, id=context.tenant_id)[
            "retention_seconds"
        ]
    if age is None:
        age = context.queue.report_retention_seconds
    return _Cleanup(context.tenant_id, context.now - age)


class Upkeep:
    """``messages.retry`` and ``messages.cleanup``.

    Both can be asked again after an error in the middle: what is done stays done.
    """

    def __init__(self, door: Door, db: SqlDb, tables: Tables, signals: Signals) -> None:
        self._door = door
        self._db = db
        self._tables = tables
        self._signals = signals
        self._removal = Removal(db)

    async def retry(
        self, caller: Caller, request: RetryMessages, tenant_id: str | None
    ) -> RetriedOut:
        """Put messages in error back into the queue; those of removed accounts stay.

        Raises Malformed unless exactly one of ``ids`` and ``batch_code`` is given.
        """
        order = await self._door.call(retry, caller, request, tenant_id)
        requeued = 0
        async for pks in self._slices(order):
            requeued += await self._db.write(self._tables.failed.retry, pks, order.now)
            self._signals.messages_due()
        return RetriedOut(requeued=requeued)

    async def cleanup(
        self, caller: Caller, request: CleanupMessages, tenant_id: str | None
    ) -> CleanedOut:
        """Remove finished messages whose every event was reported long enough ago."""
        order = await self._door.call(cleanup, caller, request, tenant_id)
        removed, _ = await self._removal.messages(order.tenant_id, order.before)
        return CleanedOut(removed=removed)

    async def _slices(self, order: _Retry) -> AsyncIterator[Sequence[str]]:
        if order.batch_code is None:
            for start in range(0, len(order.pks), _SLICE):
                yield order.pks[start : start + _SLICE]
            return
        batch, after = (order.tenant_id, order.batch_code), None
        while pks := await self._db.read(self._tables.failed.of_batch, *batch, after, _SLICE):
            yield pks
            after = pks[-1]
