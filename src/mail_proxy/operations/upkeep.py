"""Operations on any number of messages: allowed and audited at once, done in many transactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mail_proxy.domain.facts import DirectoryChanged, EventsAdded, MessagesDue
from mail_proxy.errors import Malformed
from mail_proxy.kit.bus import Bus
from mail_proxy.kit.clock import Clock
from mail_proxy.operations import accounts, tenants
from mail_proxy.operations.accounts import AccountRef
from mail_proxy.operations.callers import Caller
from mail_proxy.operations.operation import Context, Door, Operation, operation
from mail_proxy.operations.suspension import BatchRef
from mail_proxy.operations.tenants import ForTenant
from mail_proxy.sql import Connection, SqlDb
from mail_proxy.sql.chunks import ChunkedWork
from mail_proxy.sql.messages.purge import MessagePurge
from mail_proxy.sql.tables import Tables
from mail_proxy.wire.messages import CleanedOut, CleanupMessages, RetriedOut, RetryMessages
from mail_proxy.wire.suspension import SuspensionOut
from mail_proxy.wire.tenants import Done


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
    pks = context.tables.retried.named(context.connection, context.tenant_id, request.ids or [])
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
    """What any number of messages are part of.

    All of it can be asked again after an error in the middle: what is done stays done.
    """

    def __init__(self, door: Door, db: SqlDb, tables: Tables, bus: Bus, clock: Clock) -> None:
        self._door = door
        self._db = db
        self._tables = tables
        self._bus = bus
        self._clock = clock
        self._removal = MessagePurge(db)

    async def retry(
        self, caller: Caller, request: RetryMessages, tenant_id: str | None
    ) -> RetriedOut:
        """Put messages in error back into the queue; those of removed accounts stay.

        Raises Malformed unless exactly one of ``ids`` and ``batch_code`` is given.
        """
        order = await self._door.call(retry, caller, request, tenant_id)
        slices = ChunkedWork(self._db)
        requeued, after = 0, None
        while pks := await self._to_retry(order, after, slices.size):
            requeued += await slices.one(self._tables.retried.retry, pks, order.now)
            self._bus.publish(MessagesDue())
            after = pks[-1]
        return RetriedOut(requeued=requeued)

    async def cleanup(
        self, caller: Caller, request: CleanupMessages, tenant_id: str | None
    ) -> CleanedOut:
        """Remove finished messages whose every event was reported long enough ago."""
        order = await self._door.call(cleanup, caller, request, tenant_id)
        removed, _ = await self._removal.messages(order.tenant_id, order.before)
        return CleanedOut(removed=removed)

    async def suspend_or_activate(
        self,
        operation: Operation[BatchRef, SuspensionOut],
        caller: Caller,
        request: BatchRef,
        tenant_id: str | None,
    ) -> SuspensionOut:
        """Do it, and then count what it touches."""
        answer = await self._door.call(operation, caller, request, tenant_id)
        touched = await self._db.read(
            self._tables.messages.count_waiting, answer.tenant_id, answer.batch_code
        )
        return answer.model_copy(update={"pending_messages": touched})

    async def delete_account(
        self, caller: Caller, request: AccountRef, tenant_id: str | None
    ) -> Done:
        """Remove an account, and end all that waits for it; broken off, retention ends the rest."""
        account_pk = await self._door.call(accounts.delete, caller, request, tenant_id)
        if account_pk is not None:
            now, ended = self._clock.now(), self._tables.given_up

            def end(connection: Connection, most: int) -> int:
                return ended.of_account(connection, account_pk, accounts.DELETED, now, most)

            await ChunkedWork(self._db).all(end)
            self._bus.publish(EventsAdded())
        return Done()

    async def delete_tenant(self, caller: Caller, request: ForTenant) -> Done:
        """Remove a tenant, its messages first; broken off, it stays and is switched off."""
        if not await self._door.call(tenants.delete, caller, request):
            messages, slices, after = self._tables.messages, ChunkedWork(self._db), None
            while found := await self._db.read(messages.places, request.id, after, slices.size):
                await slices.one(messages.remove, [pk for _, pk in found])
                after = found[-1]
            await self._db.write(self._remove_tenant, request.id)
            self._bus.publish(DirectoryChanged())
        return Done()

    def _remove_tenant(self, connection: Connection, tenant_id: str) -> None:
        self._tables.messages.remove_of_tenant(connection, tenant_id)
        self._tables.tenants.delete(connection, id=tenant_id)

    async def _to_retry(self, order: _Retry, after: str | None, limit: int) -> Sequence[str]:
        if order.batch_code is None:
            return [pk for pk in order.pks if after is None or pk > after][:limit]
        batch = (order.tenant_id, order.batch_code)
        return await self._db.read(self._tables.retried.of_batch, *batch, after, limit)
