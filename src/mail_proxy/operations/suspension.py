"""Operations that suspend and activate a tenant's queue, or one batch of it."""

from __future__ import annotations

from mail_proxy.domain.facts import DirectoryChanged
from mail_proxy.domain.tenant import EVERYTHING
from mail_proxy.errors import Conflict
from mail_proxy.operations.operation import Context, operation
from mail_proxy.operations.parts import Parts
from mail_proxy.wire.suspension import BatchRef, SuspensionOut


async def _count_affected(parts: Parts, answer: SuspensionOut) -> SuspensionOut:
    """Count the affected messages outside the transaction.

    Counting takes long, and other transactions wait to write.
    """
    affected = await parts.db.read(
        parts.tables.messages.count_waiting, answer.tenant_id, answer.batch_code
    )
    return answer.model_copy(update={"pending_messages": affected})


@operation("suspend", mutates=True, replayable=True, command="suspend", then=_count_affected)
def suspend(context: Context, request: BatchRef) -> SuspensionOut:
    """Stop sending. Sends in flight are finished; the other messages keep their times."""
    request = _named(request)
    context.tables.suspensions.suspend(context.connection, context.tenant_id, request.batch_code)
    return _answer(context, request)


@operation("activate", mutates=True, replayable=True, command="activate", then=_count_affected)
def activate(context: Context, request: BatchRef) -> SuspensionOut:
    """Resume sending of a batch, or of everything that was suspended."""
    request = _named(request)
    suspensions, tenant_id = context.tables.suspensions, context.tenant_id
    if request.batch_code is None:
        suspensions.delete(context.connection, tenant_id=tenant_id)
    else:
        everything = suspensions.find(
            context.connection, tenant_id=tenant_id, batch_code=EVERYTHING
        )
        if everything is not None:
            raise Conflict("the whole tenant is suspended; activate it without batch_code first")
        suspensions.delete(context.connection, tenant_id=tenant_id, batch_code=request.batch_code)
    return _answer(context, request)


def _named(request: BatchRef) -> BatchRef:
    """Read ``*`` as everything, which it means in ``suspended_batches``."""
    return BatchRef() if request.batch_code == EVERYTHING else request


def _answer(context: Context, request: BatchRef) -> SuspensionOut:
    """Answer without the count, which ``_count_affected`` adds."""
    context.publish(DirectoryChanged())
    return SuspensionOut(
        tenant_id=context.tenant_id,
        batch_code=request.batch_code,
        suspended_batches=context.tables.suspensions.of_tenant(
            context.connection, context.tenant_id
        ),
        pending_messages=0,
    )


ALL = (suspend, activate)
